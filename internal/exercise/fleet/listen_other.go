//go:build !linux

package fleet

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// maxListeners bounds a listener for each address: systems other than Linux have
// no socket for all of 127.0.0.0/8 that is closed to the rest of the world.
const maxListeners = 2000

// listener gathers the connections of many. Dead addresses refuse here, as the
// system does where nobody listens.
type listener struct {
	all   []net.Listener
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func listen(port int, addresses []uint32) (*listener, error) {
	if len(addresses) > maxListeners {
		return nil, fmt.Errorf("%d addresses: this system allows at most %d", len(addresses), maxListeners)
	}
	l := &listener{conns: make(chan net.Conn), done: make(chan struct{})}
	for _, a := range addresses {
		one, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", addr(a), port))
		if err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("listen on %s: %w", addr(a), err)
		}
		port = one.Addr().(*net.TCPAddr).Port
		l.all = append(l.all, one)
		go func() {
			for {
				c, err := one.Accept()
				if err != nil {
					return
				}
				select {
				case l.conns <- c:
				case <-l.done:
					_ = c.Close()
					return
				}
			}
		}()
	}
	return l, nil
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Addr() net.Addr { return l.all[0].Addr() }

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	for _, one := range l.all {
		_ = one.Close()
	}
	return nil
}

// reserve finds a port that nobody listens at. Somebody could start to.
func reserve(port int) (int, io.Closer, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return 0, nil, fmt.Errorf("find a closed port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l, l.Close()
}

// silence takes none: who is dead is reset.
func (l *listener) silence([]uint32) (int, error) { return 0, nil }
