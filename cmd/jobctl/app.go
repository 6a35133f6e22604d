package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jobd-project/jobd/job/control"
)

const (
	defaultRunDir = "/run/jobd"
	columns       = 80 // of a line where stdout is no terminal
	leastColumns  = 20
)

// app is one call of jobctl.
type app struct {
	stdout, stderr io.Writer
	width          int // of a line on stdout
	now            func() time.Time
	euid           int

	runDir string
	json   bool
	users  map[uint32]string
}

func newApp() *app {
	return &app{
		stdout: os.Stdout, stderr: os.Stderr, width: terminalWidth(os.Stdout), now: time.Now, euid: os.Geteuid(),
		users: make(map[uint32]string),
	}
}

func terminalWidth(f *os.File) int {
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		return max(w, leastColumns)
	}
	return columns
}

// main does what the arguments say and gives the exit code.
func (a *app) main(args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	a.report(err)
	return exitCode(cmd, err)
}

// root is `jobctl` alone: the list of jobs.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "jobctl",
		Short: "list, show, signal and start jobs",
		Long: `jobctl lists, shows, signals and starts jobs.

A job is a container of processes: everything that descends from one login.
Alone, jobctl shows the jobs that there are, as jobctl list does.

A JID is a sequence number (17), host:17, 0x and up to 16 hexadecimal digits,
or self, the job that jobctl was started in.

Exit codes: 0 done, 1 refused, failed or timed out, 2 usage, 3 no such job,
4 jobd not reachable; of run those of its command, or 125. $JOBD_RUN_DIR names
jobd's run directory, as --run-dir does.`,
		Example: `  jobctl                     the open jobs
  jobctl tree 17             what runs in job 17
  jobctl kill 17             end it`,
		Args:                       knownVerb,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return a.list(cmd.Context(), control.Request{}, false) },
		DisableFlagsInUseLine:      true,
		Version:                    buildVersion(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		ValidArgsFunction:          cobra.NoFileCompletions,
	}
	root.PersistentFlags().StringVar(&a.runDir, "run-dir", cmp.Or(os.Getenv("JOBD_RUN_DIR"), defaultRunDir),
		"the run directory `DIR` of jobd")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return badUsage(cmd, err.Error()) })
	root.SetVersionTemplate("jobctl {{.Version}}\n")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetHelpCommand(helpCommand())
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.AddCommand(a.verbs()...)
	return root
}

func (a *app) verbs() []*cobra.Command {
	verbs := []*cobra.Command{
		a.listCommand(), a.showCommand(), a.psCommand(), a.treeCommand(), a.idCommand(),
		a.watchCommand(), a.historyCommand(), a.procsCommand(), a.reportCommand(), a.dbCommand(), a.engineCommand(), a.doctorCommand(), a.statusCommand(), a.selfcheckCommand(),
		a.runCommand(), a.killCommand(), a.waitCommand(), a.tagCommand(),
		a.createCommand(), a.releaseCommand(), a.attachCommand(), a.detachCommand(), a.moveCommand(), a.adoptCommand(), a.limitCommand(),
		a.drainCommand(), a.resumeCommand(),
	}
	for _, cmd := range verbs {
		cmd.DisableFlagsInUseLine = true
		if cmd.Name() != "run" {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	return verbs
}

// usageTemplate has the words of the manual in cobra's template.
func usageTemplate(cobras string) string {
	return strings.NewReplacer(
		`{{.CommandPath}} [command] --help" for more information about a command.`, `jobctl help VERB" for more.`,
		"{{.CommandPath}} [command]", "{{.CommandPath}} VERB …",
		"Available Commands:", "Verbs:",
		"Global Flags:", "With every verb:",
	).Replace(cobras)
}

// helpCommand differs from cobra's in that help for a verb that there is not is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB]",
		Short:   "explain a verb",
		Example: "  jobctl help kill",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, _, err := cmd.Root().Find(args)
			if err != nil || len(args) > 0 && about == cmd.Root() {
				return knownVerb(cmd.Root(), args)
			}
			about.InitDefaultHelpFlag()
			about.InitDefaultVersionFlag()
			return about.Help()
		},
	}
}

// knownVerb refuses what is left of the command line when it names no verb.
func knownVerb(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "jobctl help"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{fmt.Sprintf("cannot do %q: there is no such verb", args[0]), hint}
}

func (a *app) client() *control.Client {
	return control.NewClient(filepath.Join(a.runDir, "jobd.sock"))
}

// show prints an answer as JSON when that was asked for, else by write.
func (a *app) show(v any, write func() error) error {
	if a.json {
		return writeJSON(a.stdout, v)
	}
	return write()
}

// say prints a line for people; it is made safe, and folded where it is too long.
func (a *app) say(format string, args ...any) error { return a.sayTo(a.stdout, format, args...) }

func (a *app) sayTo(w io.Writer, format string, args ...any) error {
	var b strings.Builder
	for _, line := range fold(plain(fmt.Sprintf(format, args...)), a.width) {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// userName asks the name service, once for each user.
func (a *app) userName(uid *uint32) string {
	if uid == nil {
		return none
	}
	if name, ok := a.users[*uid]; ok {
		return name
	}
	id := strconv.FormatUint(uint64(*uid), 10)
	name := "#" + id
	if u, err := user.LookupId(id); err == nil {
		name = plain(u.Username)
	}
	a.users[*uid] = name
	return name
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(devel)"
}
