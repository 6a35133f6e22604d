// Replay makes the disk that a machine has after a power cut: it puts the writes of qemu's log (blklogwrites, the format of
// Linux's dm-log-writes) into an image as a disk with a cache may have them. What a flush followed is there; of what came
// after the last flush some writes are there, some are not, and some in part, a sector of 512 bytes at a time. A machine
// waits for a flush as soon as it has written, so that few are caught between the two: every other time the power is said to
// have been cut before the last flush was over. So whoever was told that something is on disk must have been told a flush later.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
)

const (
	sectorSize = 512
	magic      = 0x6a736677736872

	flagFlush   = 1 << 0
	flagFUA     = 1 << 1
	flagDiscard = 1 << 2
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: replay IMAGE LOG SEED")
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	image, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	log, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer log.Close()
	writes, err := read(log)
	if err != nil {
		return err
	}
	c := cut{image: image, log: log, rng: rand.New(rand.NewPCG(seed, seed))}
	if err := c.replay(writes); err != nil {
		return err
	}
	fmt.Println(c.say)
	return image.Close()
}

// write is an entry of the log.
type write struct {
	sector, sectors uint64
	flags           uint64
	at              int64 // where its data are in the log
}

// read lists the entries. The machine was killed: the last one may be in there in part, and is left out.
func read(log *os.File) (list []write, err error) {
	size, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	b := make([]byte, sectorSize)
	if _, err := log.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("cannot read the log: %w", err)
	}
	if binary.LittleEndian.Uint64(b) != magic || binary.LittleEndian.Uint32(b[24:]) != sectorSize {
		return nil, errors.New("cannot read the log: it is none of blklogwrites with sectors of 512 bytes")
	}
	for at := int64(sectorSize); at+sectorSize <= size; {
		if _, err := log.ReadAt(b[:32], at); err != nil {
			return nil, fmt.Errorf("cannot read the log: %w", err)
		}
		w := write{
			sector: binary.LittleEndian.Uint64(b), sectors: binary.LittleEndian.Uint64(b[8:]),
			flags: binary.LittleEndian.Uint64(b[16:]), at: at + sectorSize,
		}
		at = w.at
		if w.flags&flagDiscard == 0 {
			at += int64(w.sectors) * sectorSize
		}
		if w.sectors == 0 && w.flags == 0 || at > size {
			break
		}
		list = append(list, w)
	}
	return list, nil
}

// cut is a power cut under way.
type cut struct {
	image, log *os.File
	rng        *rand.Rand
	say        string
}

// replay carries out what was flushed, and some of the rest.
func (c *cut) replay(writes []write) error {
	flushes := flushesOf(writes)
	if n := len(flushes); n > 0 && c.rng.IntN(2) == 0 {
		writes, flushes = writes[:flushes[n-1]], flushes[:n-1]
	}
	last := 0
	if n := len(flushes); n > 0 {
		last = flushes[n-1] + 1
	}
	for _, w := range writes[:last] {
		if err := c.put(w, nil); err != nil {
			return err
		}
	}
	whole, torn, lost := 0, 0, 0
	for _, w := range writes[last:] {
		switch how := c.rng.IntN(3); {
		case w.flags&flagFUA != 0 || how == 0:
			whole++
			if err := c.put(w, nil); err != nil {
				return err
			}
		case how == 1:
			torn++
			if err := c.put(w, c.rng); err != nil {
				return err
			}
		default:
			lost++
		}
	}
	c.say = fmt.Sprintf("%d writes up to the last of %d flushes; of %d after it %d whole, %d in part, %d lost",
		last-len(flushes), len(flushes), len(writes)-last, whole, torn, lost)
	return nil
}

func flushesOf(writes []write) (at []int) {
	for i, w := range writes {
		if w.flags&flagFlush != 0 {
			at = append(at, i)
		}
	}
	return at
}

// put writes an entry into the image; with some, each sector of it only if the coin says so.
func (c *cut) put(w write, some *rand.Rand) error {
	b := make([]byte, w.sectors*sectorSize)
	if w.flags&flagDiscard == 0 {
		if _, err := c.log.ReadAt(b, w.at); err != nil {
			return fmt.Errorf("cannot read the log: %w", err)
		}
	}
	to := int64(w.sector) * sectorSize
	if some == nil {
		_, err := c.image.WriteAt(b, to)
		return err
	}
	for ; len(b) > 0; b, to = b[sectorSize:], to+sectorSize {
		if some.IntN(2) == 0 {
			continue
		}
		if _, err := c.image.WriteAt(b[:sectorSize], to); err != nil {
			return err
		}
	}
	return nil
}
