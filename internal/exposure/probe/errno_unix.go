//go:build unix

package probe

import "syscall"

// What the system says when a connection fails, by what it means.
var (
	errnoRefused     = []error{syscall.ECONNREFUSED}
	errnoUnreachable = []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.EPERM}
	errnoReset       = []error{syscall.ECONNRESET, syscall.EPIPE}
	errnoShortage    = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE}
)
