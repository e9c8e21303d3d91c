package guest

import "embed"

// Sources are what the guest's agent is built from: the folders agent and mailbox,
// tests included.
//
//go:embed agent/*.go mailbox/*.go
var Sources embed.FS
