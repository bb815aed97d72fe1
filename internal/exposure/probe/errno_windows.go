package probe

import "golang.org/x/sys/windows"

// What the system says when a connection fails, by what it means.
var (
	errnoRefused     = []error{windows.WSAECONNREFUSED}
	errnoUnreachable = []error{windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.WSAEACCES}
	errnoReset       = []error{windows.WSAECONNRESET, windows.WSAECONNABORTED}
	errnoShortage    = []error{windows.WSAEMFILE, windows.WSAENOBUFS, windows.WSAEADDRNOTAVAIL, windows.WSAEADDRINUSE}
)
