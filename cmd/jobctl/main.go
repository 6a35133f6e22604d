// Command jobctl lists, shows, signals, waits for and starts jobs. It asks jobd for everything, over DIR/jobd.sock; it reads
// neither the books nor /proc, and needs no privilege of its own. Each verb is in a file of its own, cmd_VERB.go.
//
// What it prints is for people and fits the terminal; --json is for programs, and has the names of docs/protocol.md. The
// exit codes are in exit.go, the manual is docs/man/jobctl.1.
package main

import (
	"os"
	"runtime"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version string

func main() {
	// pam_loginuid works on the main thread only, which is the one that main is started on.
	runtime.LockOSThread()
	os.Exit(newApp().main(os.Args[1:]))
}
