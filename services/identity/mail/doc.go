// Package mail sends the few mails that identity needs: over SMTP, or into a folder for development.
package mail
