// Command postern finds the doors that patching leaves open, and gets them shut.
// It parses the command line, wires the rooms together and maps errors to exit
// codes; everything else happens under internal/.
package main

import (
	"context"
	"os"
	"os/signal"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// The second interrupt ends the program at once, as people expect.
	go func() { <-ctx.Done(); stop() }()
	return newApp(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv).main(ctx, os.Args[1:])
}
