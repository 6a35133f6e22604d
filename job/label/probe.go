package label

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
)

// Can is what the kernel can do of what this package asks of it: nil is yes, an error says why not. The first four are needed by Open
// and Follow, the others are used where they are there.
type Can struct {
	BTF     error // the kernel's own types (CONFIG_DEBUG_INFO_BTF)
	Storage error // task storage (Linux 5.11)
	Ring    error // ring buffers (Linux 5.8)
	Tracing error // this package's own programs pass the verifier

	LSM  error // a fork fails by a program among the security modules
	Hook error // it fails by a program that changes what those say (fmod_ret)
	IDs  error // changes of ids are told at once
}

// Probe tries what the kernel can do. Programs are loaded, and let go of: nothing is attached, and nothing is kept. It takes the rights
// that Open takes. Whether a program that passed can be attached too is known only to who has done it (Events.Refusal, Events.Late).
func Probe() Can {
	types, none := btf.LoadKernelSpec()
	if none != nil {
		none = fmt.Errorf("the kernel tells nothing of its types: %w", none)
		return Can{BTF: none, Storage: none, Ring: none, Tracing: none, LSM: none, Hook: none, IDs: none}
	}
	c := Can{Storage: plainly(features.HaveMapType(ebpf.TaskStorage)), Ring: plainly(features.HaveMapType(ebpf.RingBuf))}
	if c.Tracing = errors.Join(c.Storage, c.Ring); c.Tracing == nil {
		c.tryPrograms(types)
	} else {
		c.LSM, c.Hook, c.IDs = c.Tracing, c.Tracing, c.Tracing
	}
	return c
}

// tryPrograms loads the programs as open does, but for the places where they would be kept.
func (c *Can) tryPrograms(types *btf.Spec) {
	l := &Labels{}
	defer l.Close()
	spec, err := l.spec(Room)
	if err != nil {
		c.Tracing, c.LSM, c.Hook, c.IDs = err, err, err, err
		return
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	spec.Maps[objectMapEvents].MaxEntries = execsSize                                 // as small as there are: nobody is told anything
	with := ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{KernelTypes: types}} // read once
	try := func(program string) error { return tryProgram(spec, with, program) }
	c.Tracing = errors.Join(plainly(spec.LoadAndAssign(&l.objects, &with)), try("exits"), try("frees"), try("executes"))
	c.Hook, c.IDs = try("refuses_hooked"), try("changes")
	if c.LSM = bpfIsModule(); c.LSM == nil {
		c.LSM = try("refuses")
	}
}

// tryProgram loads one program, with maps of its own.
func tryProgram(spec *ebpf.CollectionSpec, with ebpf.CollectionOptions, program string) error {
	one := spec.Copy()
	for name := range one.Programs {
		if name != program {
			delete(one.Programs, name)
		}
	}
	c, err := ebpf.NewCollectionWithOptions(one, with)
	if err != nil {
		return plainly(err)
	}
	c.Close()
	return nil
}

// plainly is plain, and lets no error be none.
func plainly(err error) error {
	if err == nil {
		return nil
	}
	return plain(err)
}

// Mounted reports whether bpffs is where the host has its own. Where it is not Open mounts it.
func Mounted() (bool, error) { return isBPF(host) }
