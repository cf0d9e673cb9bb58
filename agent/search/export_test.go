package search

var Weigh = weigh
