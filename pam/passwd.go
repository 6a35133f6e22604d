package pam

/*
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"syscall"
	"unsafe"
)

// account is what the name service knows of a user. Package os/user does not
// tell the shell, hence getpwnam_r(3) here.
type account struct {
	name, home, shell string
	uid, gid          uint32
}

var errNoUser = errors.New("no such user")

// maxPasswd bounds the buffer: no passwd entry is that long.
const maxPasswd = 1 << 20

func lookup(name string) (account, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	for size := 1024; size <= maxPasswd; size *= 4 {
		a, err := lookupIn(cname, size)
		if err != syscall.ERANGE { // getpwnam_r(3): the buffer is too small
			return a, err
		}
	}
	return account{}, syscall.ERANGE
}

func lookupIn(name *C.char, size int) (account, error) {
	buf := C.malloc(C.size_t(size))
	defer C.free(buf)
	var pw C.struct_passwd
	var found *C.struct_passwd
	rc := C.getpwnam_r(name, &pw, (*C.char)(buf), C.size_t(size), &found)
	if rc != 0 {
		return account{}, syscall.Errno(rc)
	}
	if found == nil {
		return account{}, errNoUser
	}
	return account{
		name:  C.GoString(pw.pw_name),
		home:  C.GoString(pw.pw_dir),
		shell: C.GoString(pw.pw_shell),
		uid:   uint32(pw.pw_uid),
		gid:   uint32(pw.pw_gid),
	}, nil
}

// groups is what initgroups(3) would set: the user's own and the others.
func (a account) groups() ([]int, error) {
	u := user.User{Username: a.name, Gid: strconv.FormatUint(uint64(a.gid), 10)}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("cannot find the groups of %s: %w", a.name, err)
	}
	gids := make([]int, 0, len(ids))
	for _, id := range ids {
		gid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("cannot read the group id %q: %w", id, err)
		}
		gids = append(gids, int(gid))
	}
	return gids, nil
}
