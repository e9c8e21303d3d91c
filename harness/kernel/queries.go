package kernel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"sync"

	"kernellab/harness/kernel/debuginfo"
	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// queryCache caches the results of queries of an image's types and of its vmlinux.
// Every run makes the same few dozen queries. Reading the types of a whole kernel for
// them would take longer than anything else that a run does before it starts the
// guest. So the cache has a file next to the unpacked image.
type queryCache struct {
	path string // of the file, "" for none

	lock  sync.Mutex
	dirty bool // the file lacks some results
	cached
}

// cached is the content of the file. The keys are the queries.
type cached struct {
	Fields     map[string]result[Field]
	Members    map[string]result[[]Field]
	Sizes      map[string]result[int]
	Prototypes map[string]result[prototype]

	// The results below come from one vmlinux.
	Vmlinux string
	Sources map[string]result[[]debuginfo.Location] // source positions, by address
	Sites   map[string]result[sites]                // starts of functions, by name
}

// maxResults limits the results of each kind: a lab makes some dozens of queries, but
// the addresses in stacks add up over time.
const maxResults = 512

// result is the result of a query, or the error that this kernel has no such thing.
type result[T any] struct {
	Value    T
	NotFound *NotFoundError `json:",omitempty"`
}

// lookup returns the cached result of a query, or calls find and caches what it
// returns. It caches no errors other than a *NotFoundError.
func lookup[T any](c *queryCache, results *map[string]result[T], query string, find func() (T, error)) (T, error) {
	c.lock.Lock()
	r, ok := (*results)[query]
	c.lock.Unlock()
	if ok && r.NotFound != nil {
		return r.Value, r.NotFound
	}
	if ok {
		return r.Value, nil
	}
	value, err := find()
	notFound, isNotFound := err.(*NotFoundError)
	if err != nil && !isNotFound {
		return value, err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if *results == nil {
		*results = map[string]result[T]{}
	}
	if len(*results) < maxResults {
		(*results)[query], c.dirty = result[T]{value, notFound}, true
	}
	return value, err
}

// queryCacheSuffix is appended to the name of the unpacked image.
const queryCacheSuffix = ".answers"

// queryCacheHeader begins the file. It names the program that wrote it, because
// another version of this package, of debuginfo or of a library may return other
// results.
func queryCacheHeader() (string, error) {
	id, err := executable()
	return fmt.Sprintf("lab.kernel-answers/3 %s\n", id), err
}

// load reads the file. It ignores a file that is missing or damaged: then the queries
// are made again.
func (a *queryCache) load(path string) {
	a.path = path
	data, err := regular.ReadFile(path, maxImage)
	if err != nil {
		return
	}
	header, err := queryCacheHeader()
	body, ok := bytes.CutPrefix(data, []byte(header))
	if err != nil || !ok || len(body) < 4 || le.Uint32(body) != crc32.ChecksumIEEE(body[4:]) {
		return
	}
	var k cached
	if json.Unmarshal(body[4:], &k) == nil {
		a.cached = k
	}
}

// SaveQueries writes the results of new queries to a file, for the next process that
// opens the image. It does nothing unless OpenCached opened the image, and ignores
// errors.
func (im *Image) SaveQueries() {
	c := &im.queries
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.path == "" || !c.dirty {
		return
	}
	header, err := queryCacheHeader()
	if err != nil {
		return
	}
	body, err := json.Marshal(c.cached)
	if err != nil {
		return
	}
	data := le.AppendUint32([]byte(header), crc32.ChecksumIEEE(body))
	c.dirty = atomicfile.WriteBytes(c.path, 0o600, append(data, body...)) != nil
}

// hasTypes reports whether there are results from the image's types.
func (a *queryCache) hasTypes() bool {
	a.lock.Lock()
	defer a.lock.Unlock()
	return len(a.Fields) > 0
}

// prototype is the type of a function.
type prototype struct {
	Params  []Param
	Returns string
}

// Field returns a member by its path, such as "thread.sp". The path may lead through
// embedded and anonymous structs and unions, but not through pointers. If there is no
// such member the error is a *NotFoundError that names similar ones.
func (im *Image) Field(structName, path string) (Field, error) {
	return lookup(&im.queries, &im.queries.Fields, structName+" "+path, func() (Field, error) { return im.field(structName, path) })
}

// Members returns the members of a struct in order. An anonymous struct is replaced
// by its members. An anonymous union is replaced by its first member: the members of
// an anonymous struct, or one member with the union's size.
func (im *Image) Members(structName string) ([]Field, error) {
	all, err := lookup(&im.queries, &im.queries.Members, structName, func() ([]Field, error) { return im.members(structName) })
	return slices.Clone(all), err
}

// SizeOf returns the size in bytes of a struct, union, typedef or base type.
func (im *Image) SizeOf(typeName string) (int, error) {
	return lookup(&im.queries, &im.queries.Sizes, typeName, func() (int, error) { return im.sizeOf(typeName) })
}

// Params returns the parameters of a function. If the types lack a name with a
// compiler's suffix such as .isra.0, it drops the suffix.
func (im *Image) Params(function string) ([]Param, error) {
	p, err := im.prototype(function)
	return p.Params, err
}

func (im *Image) prototype(function string) (prototype, error) {
	p, err := lookup(&im.queries, &im.queries.Prototypes, function, func() (prototype, error) { return im.findPrototype(function) })
	p.Params = slices.Clone(p.Params)
	return p, err
}

// sites holds the places where a function begins, and its parameters.
type sites struct {
	At     []debuginfo.Site
	Params []debuginfo.Param
}

// sites reads from the vmlinux where a function begins.
func (im *Image) sites(name string) (sites, error) {
	found, err := lookup(&im.queries, &im.queries.Sites, name, func() (s sites, err error) {
		s.At, s.Params, err = im.debug.Sites(name)
		return s, err
	})
	found.At = slices.Clone(found.At)
	return found, err
}

// source reads from the vmlinux the source position of an address.
func (im *Image) source(pc uint64) ([]debuginfo.Location, error) {
	found, err := lookup(&im.queries, &im.queries.Sources, strconv.FormatUint(pc, 16), func() ([]debuginfo.Location, error) { return im.debug.Lookup(pc) })
	return slices.Clone(found), err
}

// useVmlinux drops the results that come from another vmlinux.
func (a *queryCache) useVmlinux(vmlinux string) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.Vmlinux != vmlinux {
		a.Vmlinux, a.Sources, a.Sites = vmlinux, nil, nil
	}
}
