package pam

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The PATH of a session whose modules set none, as login(1) has it.
const (
	rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	userPath = "/usr/local/bin:/usr/bin:/bin"
)

// command is what runs in the session. alone: it has a session (setsid(2)) and
// a process group of its own, so that a signal for it goes to that group.
type command struct {
	cmd   *exec.Cmd
	alone bool
}

func newCommand(s *session, o Options) (*command, error) {
	env := environment(s, o.Env)
	dir := startDir(s.account, o.Dir)
	path, err := lookPath(o.Cmd[0], dir, env["PATH"])
	if err != nil {
		return nil, err
	}
	c := &command{alone: !sharesTerminal(s.account, o.Stdin)}
	c.cmd = &exec.Cmd{
		Path: path,
		Args: o.Cmd,
		Dir:  dir,
		Env:  pairs(env),
		SysProcAttr: &syscall.SysProcAttr{
			Setsid:     c.alone,
			Credential: credential(s),
		},
	}
	setFiles(c.cmd, o)
	return c, nil
}

// setFiles leaves out the nil ones: a nil *os.File in an interface is not nil.
func setFiles(cmd *exec.Cmd, o Options) {
	if o.Stdin != nil {
		cmd.Stdin = o.Stdin
	}
	if o.Stdout != nil {
		cmd.Stdout = o.Stdout
	}
	if o.Stderr != nil {
		cmd.Stderr = o.Stderr
	}
}

// credential is nil for a caller that is not root: it is the user already.
func credential(s *session) *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	groups := make([]uint32, len(s.groups))
	for i, g := range s.groups {
		groups[i] = uint32(g)
	}
	return &syscall.Credential{Uid: s.account.uid, Gid: s.account.gid, Groups: groups}
}

// sharesTerminal: a command of the caller's own user stays on the caller's
// terminal, for job control. Another user's must not: with TIOCSTI
// (ioctl_tty(2)) it could type into it. tcgetsid(3) fails on any terminal but
// the one that controls the caller.
func sharesTerminal(a account, stdin *os.File) bool {
	if stdin == nil || int(a.uid) != os.Getuid() {
		return false
	}
	_, err := unix.IoctlGetInt(int(stdin.Fd()), unix.TIOCGSID)
	return err == nil
}

// environment: what a login gives, what the modules set, what the caller adds.
func environment(s *session, added []string) map[string]string {
	env := map[string]string{
		"HOME":    s.account.home,
		"USER":    s.account.name,
		"LOGNAME": s.account.name,
		"SHELL":   s.account.shell,
		"PATH":    userPath,
	}
	if s.account.uid == 0 {
		env["PATH"] = rootPath
	}
	if env["SHELL"] == "" {
		env["SHELL"] = "/bin/sh" // passwd(5): the meaning of an empty field
	}
	maps.Copy(env, s.env)
	for _, kv := range added {
		if k, v, ok := strings.Cut(kv, "="); ok && k != "" {
			env[k] = v
		}
	}
	return env
}

func pairs(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

func startDir(a account, dir string) string {
	if dir != "" {
		return dir
	}
	if fi, err := os.Stat(a.home); err == nil && fi.IsDir() {
		return a.home
	}
	return "/"
}

// lookPath finds name in the session's PATH, not in the caller's. The kernel
// decides as the user whether the file may be executed.
func lookPath(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil // execve(2) takes it from dir
	}
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, name)
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%w in %s", exec.ErrNotFound, path)
}
