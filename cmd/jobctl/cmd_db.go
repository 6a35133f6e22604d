package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func (a *app) dbCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "db VERB [ARG...]",
		Short: "look after the books (jobd db)",
		Long: `Look after the books: their size, a check, a backup, an export, and what else
jobd db can do; jobctl hands over to it, with --run-dir and --json. jobd db help
and jobd-db(8) explain its verbs. For root.`,
		Example: "  jobctl db stats\n  jobctl db backup /var/backups/jobd.db",
	}
	return a.handing(cmd, "look after the books", "stats, check, compact, backup, export, repair or forget")
}

// handing has a verb of jobctl's handed over to that of jobd's which has the same name.
func (a *app) handing(cmd *cobra.Command, do, verbs string) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return badUsage(cmd, "VERB is missing: "+verbs)
		}
		return a.handOver(do, cmd.Name(), args)
	}
	cmd.Flags().SetInterspersed(false) // what follows VERB is jobd's
	return cmd
}

// handOver becomes jobd db or jobd engine, with a verb of theirs. It returns where there is none.
func (a *app) handOver(do, what string, args []string) error {
	return a.become(do, append(append([]string{what, args[0]}, a.handedOver(args[0])...), args[1:]...))
}

// become becomes jobd, with these arguments. It returns where there is none.
func (a *app) become(do string, args []string) error {
	path, err := findJobd(a.euid == 0)
	if err != nil {
		return cannot(do, err)
	}
	err = unix.Exec(path, append([]string{"jobd"}, args...), os.Environ())
	return cannot(do, fmt.Errorf("%s does not run: %w", path, err))
}

// handedOver is what was said to jobctl, before what was said to the verb, so that the latter has the last word.
func (a *app) handedOver(verb string) []string {
	if verb == "help" || strings.HasPrefix(verb, "-") {
		return nil
	}
	flags := []string{"--run-dir", a.runDir}
	if a.json {
		flags = append(flags, "--json")
	}
	return flags
}

// findJobd looks beside jobctl, then where daemons are, which need not be in a user's PATH. Root's PATH may be a user's, after su without a
// dash: what is in it is not run as root.
func findJobd(root bool) (string, error) {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	daemons := []string{"/usr/local/sbin", "/usr/sbin"}
	if root { // /usr/local may be a group's to write to (Debian's staff): last
		daemons = []string{"/usr/sbin", "/usr/local/sbin"}
	} else {
		dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	}
	for _, dir := range append(dirs, daemons...) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, "jobd")); err == nil {
			return path, nil
		}
	}
	if root {
		return "", &hinted{errors.New("there is no jobd beside jobctl, in /usr/sbin, or in /usr/local/sbin"),
			"install jobd; root's is not looked for in PATH"}
	}
	return "", &hinted{errors.New("there is no jobd beside jobctl, in PATH, or in /usr/sbin"), "install jobd, or add its directory to PATH"}
}
