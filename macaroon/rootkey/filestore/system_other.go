//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// Here New makes no store, so nothing of this is called.
const supported = false

func openFile(string, bool) (*os.File, error)                     { return nil, errors.ErrUnsupported }
func groupOf(fs.FileInfo) *int                                    { return nil }
func lockFile(context.Context, string) (unlock func(), err error) { return nil, errors.ErrUnsupported }
func syncDir(string) error                                        { return errors.ErrUnsupported }
