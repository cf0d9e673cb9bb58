// Package e2e holds no code. Its tests let other people's wallet libraries, from npm, meet ours: the vectors of sign-in
// are read by them, and they sign in at a real server. The programs that do so are in web/e2e.
package e2e
