package grade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// invalid is an Invalid in JSON.
type invalid struct {
	Why *string `json:"invalid"`
}

// MarshalJSON writes {"invalid": "why"}, which no answer is.
func (i Invalid) MarshalJSON() ([]byte, error) {
	why := string(i)
	return json.Marshal(invalid{&why})
}

// UnmarshalJSON reads what encoding/json writes of an Answer: numbers keep all of
// their 64 bits.
func (a *Answer) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*a = Answer{}
	for key, r := range raw {
		v, err := answerValue(r)
		if err != nil {
			return fmt.Errorf("answer %q: %w", key, err)
		}
		(*a)[key] = v
	}
	return nil
}

func answerValue(r json.RawMessage) (any, error) {
	switch r = bytes.TrimSpace(r); {
	case r[0] == '"': // a raw message is not empty
		var s string
		err := json.Unmarshal(r, &s)
		return s, err
	case r[0] == '[':
		list := []string{}
		err := json.Unmarshal(r, &list)
		return list, err
	case r[0] == '{':
		var i invalid
		dec := json.NewDecoder(bytes.NewReader(r))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&i); err != nil || i.Why == nil {
			return nil, fmt.Errorf("%s is no answer", r)
		}
		return Invalid(*i.Why), nil
	}
	if n, err := strconv.ParseInt(string(r), 10, 64); err == nil {
		return int(n), nil
	}
	f, err := strconv.ParseFloat(string(r), 64)
	if err != nil {
		return nil, fmt.Errorf("%s is no answer", r)
	}
	return f, nil
}
