package debuginfo

import "unsafe"

// addressOf is where data lies, to find page boundaries in a mapping.
func addressOf(data []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }
