package grade

import (
	"io"

	"kernellab/harness/verdict"
)

// The names of the verdict document under which cmd/lab still knows them.
type (
	Document = verdict.Document
	Result   = verdict.Result
	Finding  = verdict.Finding
	Verdict  = verdict.Verdict
)

const (
	Pass           = verdict.Pass
	Fail           = verdict.Fail
	Error          = verdict.Error
	ExitFail       = verdict.ExitFail
	ExitError      = verdict.ExitError
	FindCompile    = verdict.FindCompile
	FindSubmission = verdict.FindSubmission
	Visible        = verdict.Visible
)

// NewDocument is verdict.NewDocument.
func NewDocument(results ...Result) Document { return verdict.NewDocument(results...) }

// Visibilities is verdict.Visibilities.
func Visibilities() []string { return verdict.Visibilities() }

// Decode is verdict.Decode.
func Decode(r io.Reader) (Document, error) { return verdict.Decode(r) }
