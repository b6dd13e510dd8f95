package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the user that PostgreSQL runs as.
type owner struct {
	uid, gid uint32
	name     string
	foreign  bool // not ourselves: we are root
}

// chooseOwner decides for the user self whom the cluster in the folder described
// by home belongs
// to. An ordinary user: to us. We as root: to the one who has it already,
// be it an ordinary user who started the server before, else to a system user.
func chooseOwner(home fs.FileInfo, self int) (owner, error) {
	stat, ok := home.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, errors.New("the system doesn't tell whom a folder belongs to")
	}
	if self != 0 {
		if int(stat.Uid) != self {
			return owner{}, fmt.Errorf("the database in %s belongs to user %d, as it was made by root; run as root, or choose another data folder", home.Name(), stat.Uid)
		}
		return owner{uid: stat.Uid, gid: stat.Gid}, nil
	}
	if stat.Uid != 0 {
		return owner{uid: stat.Uid, gid: stat.Gid, name: strconv.Itoa(int(stat.Uid)), foreign: true}, nil
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return owner{uid: uint32(uid), gid: uint32(gid), name: name, foreign: true}, nil
	}
	return owner{}, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as; start the server as an ordinary user")
}
