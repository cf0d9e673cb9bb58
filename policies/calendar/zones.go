//go:build !js

package calendar

import _ "embed"

//go:embed zoneinfo.zip
var zoneinfo []byte
