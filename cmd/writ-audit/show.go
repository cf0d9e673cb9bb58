package main

func (c *command) show([]string) (int, error) { return 0, usage("show is not there yet") }
func (c *command) diff([]string) (int, error) { return 0, usage("diff is not there yet") }
