package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of a webhook.
const (
	// answerTime is how long a receiver may take for one message.
	answerTime = 15 * time.Second
	// maxAnswer is read of an answer, so that its connection can be used again.
	maxAnswer = 64 << 10
	// MinKey is the shortest key that signs: as long as half of the hash.
	MinKey = 16
)

// Names of the headers of a request.
const (
	headerID        = "Postern-Id"
	headerTimestamp = "Postern-Timestamp"
	headerSignature = "Postern-Signature"
)

// webhook sends a message as an HTTP request.
type webhook struct {
	url    string
	key    []byte
	client *http.Client
	now    func() time.Time
}

// NewWebhook makes a sink that posts every message to a URL, signed with a key. Roots are
// those that vouch for the receiver, nil for those of the system.
func NewWebhook(url string, key []byte, roots *x509.CertPool, opt Options) (Sink, error) {
	if len(key) < MinKey {
		return nil, fmt.Errorf("key of %d bytes: want %d and more", len(key), MinKey)
	}
	return newRemote(newWebhook(url, key, roots), opt)
}

func newWebhook(url string, key []byte, roots *x509.CertPool) *webhook {
	return &webhook{url: url, key: key, now: time.Now, client: &http.Client{
		Timeout: answerTime,
		// A signed message is for the one who was named and for nobody he points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConns:    1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
		},
	}}
}

// Sign gives the signature of a message: HMAC-SHA256 over the time stamp, a dot and the
// body.
func Sign(key []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, timestamp+".")
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

func (w *webhook) deliver(stop <-chan struct{}, messages []Message) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for i, m := range messages {
		if err := w.post(ctx, m); err != nil {
			return i, err
		}
	}
	return len(messages), nil
}

func (w *webhook) post(ctx context.Context, m Message) error {
	if len(m.Body) == 0 {
		return errDamaged
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(m.Body))
	if err != nil {
		return err
	}
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "postern-watch")
	r.Header.Set(headerID, m.ID)
	r.Header.Set(headerTimestamp, timestamp)
	r.Header.Set(headerSignature, Sign(w.key, timestamp, m.Body))
	answer, err := w.client.Do(r)
	if err != nil {
		return bare(err)
	}
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	answer.Body.Close()
	err = errors.New("HTTP " + strconv.Itoa(answer.StatusCode))
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnsupportedMediaType, code == http.StatusUnprocessableEntity:
		return &refused{err.Error()} // this message, for ever
	}
	if s := strings.TrimSpace(answer.Header.Get("Retry-After")); s != "" {
		if seconds, bad := strconv.Atoi(s); bad == nil && seconds > 0 && seconds < 1<<20 {
			return &retryAfter{time.Duration(seconds) * time.Second, err}
		}
	}
	return err
}

// bare leaves the URL out of an error, which may hold a secret of the receiver.
func bare(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func (w *webhook) close() { w.client.CloseIdleConnections() }
