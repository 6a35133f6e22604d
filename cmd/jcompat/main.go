// Command jcompat is the commands of SGI's Job by their own names, for people and scripts that know them: jstat, jkill, jwait,
// jattach, jdetach and jsethid, with the flags and columns that they had. It asks jobd for everything, over DIR/job.sock and, for
// lists, DIR/jobd.sock. What is new is in jobctl.
//
// JIDs are hexadecimal, whole, with or without 0x, as they were. An exit code is 0, or 1 when something went wrong.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/control"
)

const defaultRunDir = "/run/jobd"

func main() {
	a := &app{stdout: os.Stdout, stderr: os.Stderr, runDir: cmp.Or(os.Getenv("JOBD_RUN_DIR"), defaultRunDir)}
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "jcompat" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	os.Exit(a.main(name, args))
}

// app is one call of one of the commands.
type app struct {
	stdout, stderr io.Writer
	runDir         string
}

// command is one of them.
type command struct {
	usage string
	run   func(*app, []string) error
}

func commands() map[string]command {
	return map[string]command{
		"jstat":   {"jstat [-a | -j jid] [-l] [-p] [-h]", (*app).jstat},
		"jkill":   {"jkill [-l | [-signal] jid ...]", (*app).jkill},
		"jwait":   {"jwait jid", (*app).jwait},
		"jattach": {"jattach pid jid", (*app).jattach},
		"jdetach": {"jdetach -p pid | -j jid", (*app).jdetach},
		"jsethid": {"jsethid [hex-value]", (*app).jsethid},
	}
}

// errUsage is a command line that makes no sense.
var errUsage = errors.New("usage")

// main does what a command is told to, and gives the exit code.
func (a *app) main(name string, args []string) int {
	c, ok := commands()[name]
	if !ok {
		fmt.Fprintf(a.stderr, "jcompat: %s is none of jstat, jkill, jwait, jattach, jdetach and jsethid: call it by one of these names\n", plain(name))
		return 1
	}
	err := c.run(a, args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(a.stderr, "Usage: %s\n", c.usage)
	default:
		fmt.Fprintln(a.stderr, explain(name, err))
	}
	return 1
}

// explain says what went wrong, in the ancestor's words where it had some.
func explain(name string, err error) string {
	var e *control.Error
	switch {
	case errors.Is(err, control.ErrUnreachable):
		return "jobd does not appear to be running."
	case errors.As(err, &e) && e.Code == control.NoSuchJob:
		return "No such job"
	case errors.As(err, &e) && e.Hint != "":
		return name + ": " + plain(e.Message+" ("+e.Hint+")")
	}
	return name + ": " + plain(err.Error())
}

func (a *app) jobSock() string { return filepath.Join(a.runDir, "job.sock") }

func (a *app) client() *control.Client {
	return control.NewClient(filepath.Join(a.runDir, "jobd.sock"))
}

// parseJID takes 1 to 16 hexadecimal digits, with or without 0x.
func parseJID(s string) (job.JID, error) {
	v, err := strconv.ParseUint(withoutPrefix(s), 16, 64)
	if err != nil || v == 0 {
		return 0, fmt.Errorf("%q is no JID: it is hexadecimal, as jstat prints it", s)
	}
	return job.JID(v), nil
}

// withoutPrefix takes 0x away.
func withoutPrefix(s string) string {
	if digits, ok := strings.CutPrefix(s, "0X"); ok {
		return digits
	}
	return strings.TrimPrefix(s, "0x")
}

func parsePID(s string) (int32, error) {
	v, err := strconv.ParseInt(s, 10, 32)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("%q is no process id", s)
	}
	return int32(v), nil
}

// plain makes text safe for a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
