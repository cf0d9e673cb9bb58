package tools_test

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/tools"
)

// A tool of a Go function, and what the runtime does with a model's arguments.
func ExampleFunc() {
	type place struct {
		City string `json:"city" about:"name of the city"`
	}
	weather, err := tools.Func(tools.Spec{Name: "weather.now", About: "Current weather of a city.", Class: tools.Read},
		func(_ context.Context, in place) (string, error) { return "sunny in " + in.City, nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	def, err := tools.Compile(weather.Spec())
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = def.Read([]byte(`{"cty":"Oslo"}`))
	fmt.Println(err)

	args, err := def.Read([]byte(`{"city":"Oslo"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := weather.Call(context.Background(), tools.Input{Args: args})
	fmt.Println(string(out), err)
	// Output:
	// An argument is unknown (did you mean "city"?); known: city.
	// "sunny in Oslo" <nil>
}
