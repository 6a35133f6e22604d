package control

import (
	"slices"
	"sync/atomic"
)

// May says whether the peer may do what access asks for, to a job of the user owner (for Owner; the others don't look at
// it). uid 0 of another user namespace is nobody here, not even the owner of root's jobs.
func (p Peer) May(access Access, owner uint32) bool {
	switch {
	case p.Root:
		return true
	case p.UID == 0:
		return false
	case p.Admin:
		return true
	case access == Anyone:
		return true
	case access == Owner:
		return p.UID == owner
	}
	return false
}

// String is how a denial names who may.
func (a Access) String() string {
	switch a {
	case Anyone:
		return "anyone"
	case Owner:
		return "the job's owner and root"
	}
	return "root"
}

// inAdmin says whether the peer is an ordinary user of the admin group, where there is one.
func (p Peer) inAdmin(group *atomic.Pointer[uint32]) bool {
	gid := group.Load()
	return gid != nil && p.UID != 0 && p.inGroup(*gid)
}

// inGroup says whether the peer is a member of a group: by its primary group too.
func (p Peer) inGroup(gid uint32) bool {
	return p.GID == gid || slices.Contains(p.Groups, gid)
}
