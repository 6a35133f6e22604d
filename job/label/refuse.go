package label

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Refusal is by which of the kernel's hooks a fork is made to fail.
type Refusal string

// Where BPF is a security module, its hook; else that of all modules, if programs may change what it says. NoRefusal: forks do not fail.
const (
	RefusalLSM     Refusal = "lsm"
	RefusalFmodRet Refusal = "fmod_ret"
	NoRefusal      Refusal = ""
)

// Refusal says how forks beyond a limit are made to fail, and why not better.
func (e *Events) Refusal() (how Refusal, why error) { return e.refusal, e.noRefusal }

// refuseForks has forks fail that are beyond a job's limit, by the first of the hooks that there is. why says what is against the better one.
func (l *Labels) refuseForks(spec *ebpf.CollectionSpec, with *ebpf.CollectionOptions, dir string) (how Refusal, why, err error) {
	if why = l.refuseByLSM(spec, with, dir); why == nil {
		return RefusalLSM, nil, nil
	}
	hooked := l.refuseByHook(spec, with, dir)
	if hooked == nil {
		return RefusalFmodRet, why, nil
	}
	return NoRefusal, fmt.Errorf("%w; %w", why, hooked), unpin(dir, linkRefuses)
}

func (l *Labels) refuseByLSM(spec *ebpf.CollectionSpec, with *ebpf.CollectionOptions, dir string) error {
	if err := bpfIsModule(); err != nil {
		return fmt.Errorf("lsm: %w", err)
	}
	var p struct {
		Refuses *ebpf.Program `ebpf:"refuses"`
	}
	err := spec.LoadAndAssign(&p, with)
	if err == nil {
		defer p.Refuses.Close()
		err = l.keep(linkRefuses, dir, func() (link.Link, error) { return link.AttachLSM(link.LSMOptions{Program: p.Refuses}) })
	}
	if err != nil {
		return fmt.Errorf("lsm: %w", plain(err))
	}
	return nil
}

func (l *Labels) refuseByHook(spec *ebpf.CollectionSpec, with *ebpf.CollectionOptions, dir string) error {
	var p struct {
		Refuses *ebpf.Program `ebpf:"refuses_hooked"`
	}
	err := spec.LoadAndAssign(&p, with)
	if err == nil {
		defer p.Refuses.Close()
		err = l.attach(p.Refuses, linkRefuses, dir)
	}
	if err != nil {
		return fmt.Errorf("fmod_ret: %w", plain(err))
	}
	return nil
}

// bpfIsModule looks whether BPF is among the security modules in force: else its programs load, and nobody calls them.
func bpfIsModule() error {
	b, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		return err
	}
	for name := range bytes.SplitSeq(bytes.TrimSpace(b), []byte(",")) {
		if string(name) == "bpf" {
			return nil
		}
	}
	return fmt.Errorf("bpf is not among the kernel's security modules (%s): lsm= on its command line", bytes.TrimSpace(b))
}

// plain leaves out of an error what the library advises, which has nothing to do with it.
func plain(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return short(err)
}

// Limit says how many processes a job may have. more is how many it has beyond what its Total says.
func (e *Events) Limit(job uint64, most int, more int64) error {
	if err := e.limits.Put(job, &objectLimit{Most: int64(most), More: more}); err != nil {
		return fmt.Errorf("cannot have the kernel limit job %d: %w", uint32(job), err)
	}
	return nil
}

// Unlimit takes a job's limit away.
func (e *Events) Unlimit(job uint64) error {
	if err := e.limits.Delete(job); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("cannot have the kernel limit job %d no more: %w", uint32(job), err)
	}
	return nil
}

// freesFailed reports whether the storage of a task whose fork has failed is freed (kernel/fork.c, free_task): since Linux 6.4, and
// 6.1.34. Debian says the whole of its version only beside the release.
func freesFailed() bool {
	if !olderThan(6, 4) {
		return true
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	for _, b := range [][]byte{u.Release[:], u.Version[:]} {
		for word := range bytes.FieldsSeq(bytes.TrimRight(b, "\x00")) {
			var patch int
			if n, _ := fmt.Sscanf(string(word), "6.1.%d", &patch); n == 1 && patch >= 34 {
				return true
			}
		}
	}
	return false
}
