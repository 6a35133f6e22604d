package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jobd-project/jobd/job"
)

// A record of BSD process accounting, version 3: struct acct_v3 of linux/acct.h, in the host's byte order.
//
//	0 flag, 1 version, 2 tty, 4 exitcode, 8 uid, 12 gid, 16 pid, 20 ppid, 24 btime, 28 etime (float, ticks),
//	32 utime, 34 stime, 36 mem (KiB), 38 io, 40 rw, 42 minflt, 44 majflt, 46 swaps (comp_t), 48 comm
const (
	acctSize    = 64
	acctVersion = 3
	acctFork    = 1
	acctHz      = 100 // AHZ of linux/acct.h: the ticks of utime, stime and etime
)

// acctTick is what a tick of process accounting is worth.
const acctTick = int64(time.Second / acctHz)

// comp is the kernel's encode_comp_t (kernel/acct.c): 13 bits, and 3 bits of an exponent to the base of 8.
func comp(v uint64) uint16 {
	exp, round := uint64(0), false
	for v > 1<<13-1 {
		round = v&4 != 0
		v >>= 3
		exp++
	}
	if round {
		if v++; v > 1<<13-1 {
			v >>= 3
			exp++
		}
	}
	if exp > 7 {
		return math.MaxUint16
	}
	return uint16(exp<<13 + v)
}

// decomp undoes comp, as far as that can be.
func decomp(c uint16) uint64 { return uint64(c&(1<<13-1)) << (3 * (c >> 13)) }

// appendAcct adds what process accounting would have written of a process that jobd has this record of.
func appendAcct(b []byte, r *job.Record) []byte {
	u, order := &r.Usage, binary.NativeEndian
	flag := byte(0)
	if r.Forked {
		flag = acctFork
	}
	b = order.AppendUint16(append(b, flag, acctVersion), 0)
	for _, v := range []uint32{uint32(r.Status), u.UID, u.GID, uint32(r.PID), uint32(u.PPID), uint32(u.BTime)} {
		b = order.AppendUint32(b, v)
	}
	b = order.AppendUint32(b, math.Float32bits(float32(u.Elapsed/acctTick)))
	for _, v := range []int64{u.User / acctTick, u.System / acctTick, u.MaxVM >> 10, 0, 0, u.MinFault, u.MajFault, 0} {
		b = order.AppendUint16(b, comp(uint64(v)))
	}
	var comm [16]byte
	copy(comm[:15], u.Comm)
	return append(b, comm[:]...)
}

// acct is of a record of process accounting what is compared.
type acct struct {
	comm         string
	pid          uint32
	user, system int64 // ns
}

// readAcct decodes a file of process accounting.
func readAcct(b []byte) ([]acct, error) {
	if len(b)%acctSize != 0 {
		return nil, fmt.Errorf("cannot read a file of process accounting: %d bytes are no whole records of %d", len(b), acctSize)
	}
	var out []acct
	for ; len(b) > 0; b = b[acctSize:] {
		if v := b[1] &^ 0x80; v != acctVersion { // 0x80: big endian
			return nil, fmt.Errorf("cannot read a file of process accounting: it has version %d, not %d", v, acctVersion)
		}
		comm, _, _ := bytes.Cut(b[48:acctSize], []byte{0})
		ticks := func(at int) int64 { return int64(decomp(binary.NativeEndian.Uint16(b[at:]))) * acctTick }
		out = append(out, acct{comm: string(comm), pid: binary.NativeEndian.Uint32(b[16:]), user: ticks(32), system: ticks(34)})
	}
	return out, nil
}

func TestComp(t *testing.T) {
	for _, c := range []struct {
		v    uint64
		want uint16
		back uint64
	}{
		{0, 0, 0}, {8191, 8191, 8191}, {8192, 1<<13 | 1024, 8192}, {8196, 1<<13 | 1025, 8200}, {65532, 2<<13 | 1024, 65536},
		{1 << 40, math.MaxUint16, 8191 << 21},
	} {
		if got := comp(c.v); got != c.want || decomp(got) != c.back {
			t.Errorf("%d is %#x and back %d, want %#x and %d", c.v, got, decomp(got), c.want, c.back)
		}
	}
}

func TestAcctThereAndBack(t *testing.T) {
	r := &job.Record{PID: 7, Used: true, Forked: true}
	r.Usage.Comm, r.Usage.User, r.Usage.System = "a-name-too-long-for-it", int64(1230*time.Millisecond), int64(16*time.Millisecond)
	got, err := readAcct(appendAcct(nil, r))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v, want one record", got, err)
	}
	if want := (acct{"a-name-too-long", 7, int64(1230 * time.Millisecond), int64(10 * time.Millisecond)}); got[0] != want {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	for _, bad := range [][]byte{make([]byte, acctSize), make([]byte, acctSize-1)} {
		if got, err := readAcct(bad); err == nil || got != nil {
			t.Errorf("%d bytes of nothing gave %v and no error", len(bad), got)
		}
	}
}

func FuzzAcct(f *testing.F) {
	f.Add(appendAcct(nil, &job.Record{PID: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readAcct(b)
		if (err == nil) != (len(got)*acctSize == len(b)) {
			t.Errorf("%d records of %d bytes, error %v", len(got), len(b), err)
		}
	})
}
