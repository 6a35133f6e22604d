// Command jobd makes every login a job: it follows the kernel's process events, keeps the table of jobs, and writes
// the books. It runs in the foreground and logs to stderr. See jobd(8).
//
// This package is the wiring and the one loop that owns the model; what a job is stands in package job, how the kernel
// is asked in job/kernel, the sockets in job/control, the books in store.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// version is set by the build.
var version = "dev"

// exitConfig is how jobd ends where its configuration cannot be used: EX_CONFIG of sysexits.h. The unit does not start it again then.
const exitConfig = 78

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	unix.Umask(0o022) // whatever jobd's parent had: what may be wider says so, what has to be narrower too
	if len(args) > 0 && args[0] == "db" {
		return dbMain(args[1:], os.Stdin, os.Stdout, stderr)
	}
	if len(args) > 0 && args[0] == "engine" {
		return engineMain(args[1:], os.Stdout, stderr)
	}
	if len(args) > 0 && args[0] == "doctor" {
		return doctorMain(args[1:], os.Stdin, os.Stdout, stderr)
	}
	cfg, err := parseConfig(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errVersion):
		fmt.Println("jobd", version)
		return 0
	case err != nil && cfg != nil && cfg.Check: // as compilers say it
		fmt.Fprintln(stderr, err)
		return 2
	case err != nil && cfg != nil: // it was the file
		say(stderr, err)
		return exitConfig
	case err != nil:
		say(stderr, err)
		return 2
	case cfg.Check:
		fmt.Println(cmp.Or(cfg.ReadFrom, "the defaults, without a file")+":", "ok")
		return 0
	}
	return runDaemon(cfg, stderr)
}

// runDaemon serves until jobd is told to stop: 0, or until a part of it fails: 1.
func runDaemon(cfg *config, stderr io.Writer) int {
	signal.Ignore(syscall.SIGPIPE) // who read the log may leave, and jobd goes on
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	lines := openLines(stderr, cfg)
	log, end := withAudit(lines.Handler())
	err := serve(ctx, cfg, log, lines)
	end()
	lines.Close()
	if err != nil {
		say(stderr, err)
		return 1
	}
	return 0
}

// say writes an error, each of its lines for itself.
func say(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(w, "jobd:", line)
	}
}
