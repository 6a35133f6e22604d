package pam

import (
	"errors"
	"fmt"
	"io"
	"os"

	libpam "github.com/msteinert/pam/v2"
	"golang.org/x/sys/unix"
)

// session is one open PAM session. Its calls come from one thread.
type session struct {
	tx      *libpam.Transaction
	account account
	env     map[string]string
	groups  []int // the user's, with what pam_setcred has added

	before  []int // this thread's groups before; they may be none
	entered bool  // the groups are the user's now
}

// step is one call of the transaction, by the name that errors give it.
type step struct {
	name string
	call func() error
}

func inOrder(steps ...step) error {
	for _, s := range steps {
		if err := s.call(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func openSession(o Options) (*session, error) {
	tx, err := start(o)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	s := &session{tx: tx}
	err = inOrder(
		step{"items", func() error { return s.setItems(o) }},
		step{"authentication", func() error { return s.authenticate(o) }},
		step{"account", func() error { return tx.AcctMgmt(0) }},
		step{"user", s.findUser},
		step{"groups", s.enterGroups},
		step{"credentials", func() error { return tx.SetCred(libpam.EstablishCred) }},
		step{"session", s.open},
	)
	if err != nil {
		return nil, errors.Join(err, s.leave())
	}
	return s, nil
}

func start(o Options) (*libpam.Transaction, error) {
	conv := conversation{prompt: o.Prompt, out: io.Discard}
	if o.Stderr != nil {
		conv.out = o.Stderr
	}
	if o.ConfDir != "" {
		return libpam.StartConfDir(o.Service, o.User, conv, o.ConfDir)
	}
	return libpam.Start(o.Service, o.User, conv)
}

func (s *session) setItems(o Options) error {
	items := []struct {
		item  libpam.Item
		value string
	}{{libpam.Tty, o.TTY}, {libpam.Rhost, o.RHost}, {libpam.Ruser, o.RUser}}
	for _, i := range items {
		if i.value == "" {
			continue
		}
		if err := s.tx.SetItem(i.item, i.value); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) authenticate(o Options) error {
	if !o.Authenticate {
		return nil
	}
	return s.tx.Authenticate(0)
}

// findUser comes after the account phase: pam_get_item(3) has the name that
// the modules may have changed by then.
func (s *session) findUser() error {
	name, err := s.tx.GetItem(libpam.User)
	if err != nil {
		return err
	}
	if s.account, err = lookup(name); err != nil {
		return err
	}
	if euid := os.Geteuid(); euid != 0 && int(s.account.uid) != euid {
		return fmt.Errorf("only root may act for another user: %w", os.ErrPermission)
	}
	return nil
}

// enterGroups is initgroups(3) for this thread alone: pam_setcred(3) expects
// it done, since a module such as pam_group adds to the groups that are there.
// The raw system call leaves the other threads as they are.
func (s *session) enterGroups() (err error) {
	if os.Geteuid() != 0 {
		return nil
	}
	if s.before, err = unix.Getgroups(); err != nil {
		return err
	}
	groups, err := s.account.groups()
	if err != nil {
		return err
	}
	s.entered = true
	return unix.Setgroups(groups)
}

// open undoes the credentials when the session is refused, and takes over what
// the modules have prepared for the command when it is not.
func (s *session) open() error {
	if err := s.tx.OpenSession(0); err != nil {
		return errors.Join(hint(err), s.deleteCred())
	}
	groups, err1 := unix.Getgroups()
	env, err2 := s.tx.GetEnvList()
	s.groups, s.env = groups, env
	if err := errors.Join(err1, err2); err != nil {
		return errors.Join(err, s.tx.CloseSession(0), s.deleteCred())
	}
	return nil
}

// hint names the trap that the modules' own words do not.
func hint(err error) error {
	if onMainThread() || os.Geteuid() != 0 {
		return err
	}
	return fmt.Errorf("%w (not on the main thread, which pam_loginuid needs)", err)
}

func (s *session) deleteCred() error {
	if err := s.tx.SetCred(libpam.DeleteCred); err != nil && !errors.Is(err, libpam.ErrIgnore) {
		return fmt.Errorf("cannot delete the credentials: %w", err)
	}
	return nil
}

// close ends the session; every step is tried.
func (s *session) close() error {
	var closing error
	if err := s.tx.CloseSession(0); err != nil {
		closing = fmt.Errorf("cannot close the session: %w", err)
	}
	return errors.Join(closing, s.deleteCred(), s.leave())
}

// leave ends the transaction and gives this thread its groups back.
func (s *session) leave() error {
	err := s.tx.End()
	if s.entered {
		err = errors.Join(err, unix.Setgroups(s.before))
	}
	if err != nil {
		return fmt.Errorf("cannot end the transaction: %w", err)
	}
	return nil
}

// conversation is how modules talk to the user.
type conversation struct {
	prompt func(question string, echo bool) (string, error)
	out    io.Writer
}

var errNoPrompt = errors.New("nobody is there to answer")

// RespondPAM is called by libpam.
func (c conversation) RespondPAM(style libpam.Style, msg string) (string, error) {
	switch style {
	case libpam.ErrorMsg, libpam.TextInfo:
		_, err := fmt.Fprintln(c.out, msg)
		return "", err
	case libpam.PromptEchoOn, libpam.PromptEchoOff:
		if c.prompt == nil {
			return "", errNoPrompt
		}
		return c.prompt(msg, style == libpam.PromptEchoOn)
	}
	return "", errNoPrompt
}
