package debuginfo

import "unsafe"

// addressOf returns the address of data, to find page boundaries in a mapping.
func addressOf(data []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }
