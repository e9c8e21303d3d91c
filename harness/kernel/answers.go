package kernel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strconv"
	"sync"

	"kernellab/harness/kernel/debuginfo"
	"kernellab/internal/atomicfile"
)

// answers are what the types of an image were asked and said, and its vmlinux if it
// has one. Runs ask the same few dozen questions, and reading the types of a whole
// kernel for them would be the longest thing that a run does before its guest: so
// the answers are kept beside the unpacked image, for the program that gave them.
type answers struct {
	path string // of the file, "" to keep none

	lock  sync.Mutex
	fresh bool // there are some that the file does not have
	kept
}

// kept is the content of the file, each answer by its question.
type kept struct {
	Fields     map[string]answer[Field]
	Members    map[string]answer[[]Field]
	Sizes      map[string]answer[int]
	Prototypes map[string]answer[prototype]

	// Of a vmlinux: which it was, what its addresses are in the source, and where
	// its functions begin.
	Vmlinux string
	Sources map[string]answer[[]debuginfo.Location]
	Sites   map[string]answer[sites]
}

// mostAnswers bounds how many answers of a kind are kept: a lab asks for some dozens,
// and the addresses in stacks are many over time.
const mostAnswers = 512

// answer is what was asked for, or that this kernel has no such thing.
type answer[T any] struct {
	Is   T
	None *NotFoundError `json:",omitempty"`
}

// remember gives the answer that is known, or finds it. Other errors than that
// there is no such thing are not kept.
func remember[T any](a *answers, known *map[string]answer[T], question string, find func() (T, error)) (T, error) {
	a.lock.Lock()
	got, ok := (*known)[question]
	a.lock.Unlock()
	if ok && got.None != nil {
		return got.Is, got.None
	}
	if ok {
		return got.Is, nil
	}
	is, err := find()
	none, isNone := err.(*NotFoundError)
	if err != nil && !isNone {
		return is, err
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	if *known == nil {
		*known = map[string]answer[T]{}
	}
	if len(*known) < mostAnswers {
		(*known)[question], a.fresh = answer[T]{is, none}, true
	}
	return is, err
}

// answersSuffix is of the file beside the unpacked image.
const answersSuffix = ".answers"

// answersHeader begins a file of answers. It names the program that wrote them, as
// another version of the code may answer differently: its own, debuginfo's, or that
// of a library.
func answersHeader() (string, error) {
	id, err := executable()
	return fmt.Sprintf("lab.kernel-answers/2 %s\n", id), err
}

// load reads the answers that are kept. What is wrong with the file is no error:
// the questions are asked again.
func (a *answers) load(path string) {
	a.path = path
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	header, err := answersHeader()
	body, ok := bytes.CutPrefix(data, []byte(header))
	if err != nil || !ok || len(body) < 4 || le.Uint32(body) != crc32.ChecksumIEEE(body[4:]) {
		return
	}
	var k kept
	if json.Unmarshal(body[4:], &k) == nil {
		a.kept = k
	}
}

// Keep writes down what the types of the image, and its vmlinux, were asked since it was opened, so
// that the next process to open it finds the answers. It is for images of
// OpenKept; that nothing can be written is no error.
func (im *Image) Keep() {
	a := &im.answers
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.path == "" || !a.fresh {
		return
	}
	header, err := answersHeader()
	if err != nil {
		return
	}
	body, err := json.Marshal(a.kept)
	if err != nil {
		return
	}
	data := le.AppendUint32([]byte(header), crc32.ChecksumIEEE(body))
	a.fresh = atomicfile.WriteBytes(a.path, 0o600, append(data, body...)) != nil
}

// known reports whether there are answers.
func (a *answers) known() bool {
	a.lock.Lock()
	defer a.lock.Unlock()
	return len(a.Fields) > 0
}

// prototype is that of a function.
type prototype struct {
	Params  []Param
	Returns string
}

// Field finds a member by its path, such as "thread.sp": through embedded and
// anonymous structs and unions, not through pointers. The error is a
// *NotFoundError that names the nearest members.
func (im *Image) Field(structName, path string) (Field, error) {
	return remember(&im.answers, &im.answers.Fields, structName+" "+path, func() (Field, error) { return im.field(structName, path) })
}

// Members returns the members of a struct in their order, those of an anonymous
// struct in its place. An anonymous union is what is first in it: the members of
// an anonymous struct, or one member with its name and the union's size.
func (im *Image) Members(structName string) ([]Field, error) {
	all, err := remember(&im.answers, &im.answers.Members, structName, func() ([]Field, error) { return im.members(structName) })
	return slices.Clone(all), err
}

// SizeOf returns the size in bytes of a struct, union, typedef or base type.
func (im *Image) SizeOf(typeName string) (int, error) {
	return remember(&im.answers, &im.answers.Sizes, typeName, func() (int, error) { return im.sizeOf(typeName) })
}

// Params returns the parameters of a function. A compiler's suffix such as
// .isra.0 is dropped when the types only know the name without it.
func (im *Image) Params(function string) ([]Param, error) {
	p, err := im.prototype(function)
	return p.Params, err
}

func (im *Image) prototype(function string) (prototype, error) {
	p, err := remember(&im.answers, &im.answers.Prototypes, function, func() (prototype, error) { return im.findPrototype(function) })
	p.Params = slices.Clone(p.Params)
	return p, err
}

// sites are where a function begins, and its parameters.
type sites struct {
	At     []debuginfo.Site
	Params []debuginfo.Param
}

// sites asks the vmlinux where a function begins.
func (im *Image) sites(name string) (sites, error) {
	found, err := remember(&im.answers, &im.answers.Sites, name, func() (s sites, err error) {
		s.At, s.Params, err = im.debug.Sites(name)
		return s, err
	})
	found.At = slices.Clone(found.At)
	return found, err
}

// source asks the vmlinux where an address is in the source.
func (im *Image) source(pc uint64) ([]debuginfo.Location, error) {
	found, err := remember(&im.answers, &im.answers.Sources, strconv.FormatUint(pc, 16), func() ([]debuginfo.Location, error) { return im.debug.Lookup(pc) })
	return slices.Clone(found), err
}

// of forgets what another vmlinux said.
func (a *answers) of(vmlinux string) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.Vmlinux != vmlinux {
		a.Vmlinux, a.Sources, a.Sites = vmlinux, nil, nil
	}
}
