package linux

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kernellab/internal/intact"
	"kernellab/internal/regular"
)

// refreshAfter is how old a package index may be before it is looked at
// again.
const refreshAfter = 24 * time.Hour

// offer is what the indexes held, kept so that they need not be read each time.
type offer struct {
	Schema  string       `json:"schema"`
	When    time.Time    `json:"when"`
	Sources string       `json:"sources"` // the sources.list that it is from
	Kernels []offerEntry `json:"kernels"`
}

type offerEntry struct {
	Kernel
	URI    string       `json:"uri"`
	Digest string       `json:"digest"`
	Debug  debugPackage `json:"debug,omitzero"`
}

const offerSchema = "lab.offer/2"

func (o offer) kernels() []Kernel {
	var ks []Kernel
	for _, e := range o.Kernels {
		k := e.Kernel
		k.uri, k.digest, k.debug = e.URI, e.Digest, e.Debug
		ks = append(ks, k)
	}
	return ks
}

func readOffer(path string) (offer, error) {
	b, err := intact.Read(path)
	if errors.Is(err, intact.ErrUnknown) { // of an older lab
		b, err = regular.ReadFile(path, maxRecord)
	}
	if err != nil {
		return offer{}, err
	}
	var o offer
	if err := json.Unmarshal(b, &o); err != nil {
		return offer{}, err
	}
	if o.Schema != offerSchema {
		return offer{}, fmt.Errorf("schema %q, want %q", o.Schema, offerSchema)
	}
	return o, nil
}
