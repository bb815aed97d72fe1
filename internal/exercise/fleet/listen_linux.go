package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// One socket serves all of 127.0.0.0/8: it is bound to every address of the
// loopback device and to no other device, so nothing from outside the machine can
// reach it; what is not for 127.0.0.0/8 is closed on top of that. A filter on the
// socket drops what is for dead addresses, which is what a dead address is: no
// answer at all.

// maxDead is how many silent addresses the filter can hold; the rest of them are
// reset instead. The kernel takes 4,096 instructions.
const maxDead = 1500

type listener struct {
	*net.TCPListener
}

// listen opens the port; 0 lets the system choose.
func listen(port int, _ []uint32) (*listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) { inner = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo") })
		if err == nil {
			err = inner
		}
		return err
	}}
	lc.SetMultipathTCP(false) // such a socket takes no filter once it listens
	l, err := lc.Listen(context.Background(), "tcp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen on the loopback device: %w", err)
	}
	return &listener{l.(*net.TCPListener)}, nil
}

// reserve binds a port without listening, so that nobody else can and whoever
// connects is refused. It takes another port if the wanted one is in use.
func reserve(port int) (int, io.Closer, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve a closed port: %w", err)
	}
	file := os.NewFile(uintptr(fd), "closed port")
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{})
	}
	if err != nil {
		return 0, nil, errors.Join(fmt.Errorf("reserve a closed port: %w", err), file.Close())
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, nil, errors.Join(err, file.Close())
	}
	return name.(*unix.SockaddrInet4).Port, file, nil
}

// silence makes addresses dead, and all others alive. It gives how many it took.
func (l *listener) silence(dead []uint32) (int, error) {
	dead = slices.Clone(dead[:min(len(dead), maxDead)])
	slices.Sort(dead)
	// Load the destination of the packet: word 16 of the IP header.
	const netHeader = 0xfff00000 // SKF_NET_OFF
	program := append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: netHeader + 16}}, tree(dead)...)
	raw, err := l.SyscallConn()
	if err != nil {
		return 0, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return 0, fmt.Errorf("filter for silent addresses: %w", err)
	}
	return len(dead), nil
}

// tree gives a program that drops what is for one of the sorted addresses and
// keeps all else, in a few comparisons.
func tree(dead []uint32) []unix.SockFilter {
	const leaf = 8
	drop, keep := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}
	if len(dead) <= leaf {
		var p []unix.SockFilter
		for _, a := range dead {
			p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: a}, drop)
		}
		return append(p, keep)
	}
	mid := len(dead) / 2
	low, high := tree(dead[:mid]), tree(dead[mid:])
	p := []unix.SockFilter{
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jf: 1, K: dead[mid]},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(low))},
	}
	return append(append(p, low...), high...)
}
