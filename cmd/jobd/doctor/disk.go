package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// diskFacts are where the books are, or would be.
type diskFacts struct {
	dir   string
	err   error
	free  int64 // bytes that jobd may still write; root may as much
	floor int64 // keep.free_mib
	kind  int64 // of file system, statfs(2)
}

func (x *examination) disk(context.Context) []Finding {
	d := diskFacts{dir: x.stateDir(), floor: x.Floor}
	var st unix.Statfs_t
	if d.err = unix.Statfs(d.dir, &st); d.err == nil {
		d.free, d.kind = int64(st.Bavail)*st.Bsize, int64(st.Type)
	}
	return judgeDisk(d)
}

func judgeDisk(d diskFacts) []Finding {
	switch {
	case errors.Is(d.err, fs.ErrNotExist):
		return []Finding{ok("disk.free", "there is no %s yet: jobd makes it", d.dir)}
	case errors.Is(d.err, fs.ErrPermission):
		return []Finding{needsRoot("disk.free")}
	case d.err != nil:
		return []Finding{fail("disk.free", "look at the file system of "+d.dir, "%v", d.err)}
	}
	return []Finding{judgeFree(d), judgeKind(d)}
}

func judgeFree(d diskFacts) Finding {
	const mib = 1 << 20
	switch {
	case d.floor > 0 && d.free < d.floor:
		return fail("disk.free", "make room: below keep.free_mib history halts", "%d MiB, and keep.free_mib is %d", d.free/mib, d.floor/mib)
	case d.free < 2*d.floor:
		return warn("disk.free", "make room before it is less: below keep.free_mib history halts", "%d MiB, and keep.free_mib is %d",
			d.free/mib, d.floor/mib)
	case d.free < mib:
		return fail("disk.free", "make room: history has halted, or is about to", "%d bytes", d.free)
	}
	return ok("disk.free", "%d MiB in %s", d.free/mib, d.dir)
}

func judgeKind(d diskFacts) Finding {
	switch d.kind {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return warn("disk.kind", "have --state-dir on a disk", "%s is in memory: the books are gone with the next boot", d.dir)
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC:
		return warn("disk.kind", "have --state-dir on a local disk: the books are a file that is mapped and locked",
			"%s is of another host or program", d.dir)
	}
	return ok("disk.kind", "a local file system (0x%x)", d.kind)
}

// writeFacts are how long it takes until something is on the disk.
type writeFacts struct {
	dir   string
	err   error
	root  bool
	takes []time.Duration // of one write each, fsync(2) and all
}

// diskWrite writes files without a name, which are gone with their descriptor.
func (x *examination) diskWrite(ctx context.Context) []Finding {
	w := writeFacts{dir: x.stateDir(), root: x.root}
	if w.root {
		w.takes, w.err = timeWrites(ctx, w.dir)
	}
	return []Finding{judgeWrite(w)}
}

func timeWrites(ctx context.Context, dir string) (takes []time.Duration, err error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, 4096)
	for range 3 {
		start := time.Now()
		if _, err = f.Write(block); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return nil, err
		}
		if takes = append(takes, time.Since(start)); ctx.Err() != nil {
			break
		}
	}
	return takes, nil
}

// slowDisk is what a commit may take: the books write one a second.
const slowDisk = 250 * time.Millisecond

func judgeWrite(w writeFacts) Finding {
	switch {
	case !w.root:
		return needsRoot("disk.write")
	case errors.Is(w.err, fs.ErrNotExist):
		return ok("disk.write", "there is no %s yet: jobd makes it", w.dir)
	case errors.Is(w.err, unix.EOPNOTSUPP), errors.Is(w.err, unix.EISDIR):
		return skip("disk.write", "the file system has no files without a name, and nothing else is to be left there")
	case w.err != nil:
		return fail("disk.write", "let root write there: history waits, jobs and logins go on", "%v", w.err)
	case median(w.takes) > slowDisk:
		return warn("disk.write", "have --state-dir on a faster disk", "a write takes %s until it is on the disk", short(median(w.takes)))
	}
	return ok("disk.write", "a write takes %s until it is on the disk", short(median(w.takes)))
}

// median is the upper one of an even number; of none it is 0.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// short leaves out what nobody reads.
func short(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Microsecond)
}
