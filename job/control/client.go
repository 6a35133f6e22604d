package control

import (
	"context"
	"io"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/report"
)

// Client asks jobd over jobd.sock. It keeps no connection. An error is an *Error that jobd answered, or wraps
// ErrUnreachable, or is that of a context that was cancelled. Only the context bounds how long an answer may take.
type Client struct {
	Path string // of jobd.sock
}

// NewClient gives a client of the socket at path.
func NewClient(path string) *Client { return &Client{Path: path} }

// List gives the jobs that are open or lingering, with All the ended too. Of req count All and what counts for History.
func (c *Client) List(ctx context.Context, req Request) ([]job.Info, error) {
	return all[job.Info](ctx, c, List, req)
}

// Show gives one job, ended or not.
func (c *Client) Show(ctx context.Context, ref JobRef) (job.Info, error) {
	return ask[job.Info](ctx, c, Show, Request{Job: ref})
}

// Related gives one job, ended or not, and what else there is of the same login or user.
func (c *Client) Related(ctx context.Context, ref JobRef) (RelatedAnswer, error) {
	return ask[RelatedAnswer](ctx, c, Show, Request{Job: ref, Related: true})
}

// PS gives the processes of a job; of all jobs when none is named, or with Unjobbed those of users that are in no job.
func (c *Client) PS(ctx context.Context, req Request) ([]job.Process, error) {
	return all[job.Process](ctx, c, PS, req)
}

// ID says which job a process is in; 0 is the caller.
func (c *Client) ID(ctx context.Context, pid int32) (IDAnswer, error) {
	return ask[IDAnswer](ctx, c, ID, Request{PID: pid})
}

// Status says how jobd is.
func (c *Client) Status(ctx context.Context) (StatusAnswer, error) {
	return ask[StatusAnswer](ctx, c, Status, Request{})
}

// Selfcheck has jobd compare its table with the kernel.
func (c *Client) Selfcheck(ctx context.Context) (SelfcheckAnswer, error) {
	return ask[SelfcheckAnswer](ctx, c, Selfcheck, Request{})
}

// Kill ends or signals a job. Of req count Job, Signal, Probe, Now, Only, Timeout.
func (c *Client) Kill(ctx context.Context, req Request) (KillAnswer, error) {
	return ask[KillAnswer](ctx, c, Kill, req)
}

// Wait gives a job once it has ended. Of req count Job, Only, Timeout.
func (c *Client) Wait(ctx context.Context, req Request) (job.Info, error) {
	return ask[job.Info](ctx, c, Wait, req)
}

// Create makes a job of the caller, or with Hold an empty one. Of req count Hold, Want, User, UID, GID, Service, Tags.
func (c *Client) Create(ctx context.Context, req Request) (job.Info, error) {
	return ask[job.Info](ctx, c, Create, req)
}

// Release lets a held job end once it is empty.
func (c *Client) Release(ctx context.Context, ref JobRef) error {
	_, err := ask[struct{}](ctx, c, Release, Request{Job: ref})
	return err
}

// Attach puts the process PID, with Tree all below it too, into Job.
func (c *Client) Attach(ctx context.Context, req Request) (ChangeAnswer, error) {
	return ask[ChangeAnswer](ctx, c, Attach, req)
}

// Detach takes the process PID, with Tree all below it too, or all of Job out.
func (c *Client) Detach(ctx context.Context, req Request) (ChangeAnswer, error) {
	return ask[ChangeAnswer](ctx, c, Detach, req)
}

// Move takes the process PID, with Tree all below it too, from its job to Job.
func (c *Client) Move(ctx context.Context, req Request) (ChangeAnswer, error) {
	return ask[ChangeAnswer](ctx, c, Move, req)
}

// Adopt makes jobs of processes older than jobd: of PID, Scope, or AllSessions. User, UID, GID and Tags say what
// jobd can't know.
func (c *Client) Adopt(ctx context.Context, req Request) (AdoptAnswer, error) {
	return ask[AdoptAnswer](ctx, c, Adopt, req)
}

// Tag sets tags of a job; an empty value takes a tag away.
func (c *Client) Tag(ctx context.Context, ref JobRef, tags map[string]string) (job.Info, error) {
	return ask[job.Info](ctx, c, Tag, Request{Job: ref, Tags: tags})
}

// Limit says how many processes a job may have: forks beyond are refused. nil: there is no limit any more.
func (c *Client) Limit(ctx context.Context, ref JobRef, most *int) (job.Info, error) {
	return ask[job.Info](ctx, c, LimitTo, Request{Job: ref, MaxProcesses: most})
}

// Drain stops the making of jobs.
func (c *Client) Drain(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, Drain, Request{})
	return err
}

// Resume takes a Drain back.
func (c *Client) Resume(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, Resume, Request{})
	return err
}

// History gives jobs that have ended. Of req count User, UID, GID, Command, Service, RHost, Tag, Since, Until, MinCPU, MinRSS,
// MinIO, Exit, Sort, Limit.
func (c *Client) History(ctx context.Context, req Request) ([]job.Info, error) {
	return all[job.Info](ctx, c, History, req)
}

// Procs gives the records of processes that have left. Of req count Job, Exe, PID and what counts for History.
func (c *Client) Procs(ctx context.Context, req Request) ([]job.Process, error) {
	return all[job.Process](ctx, c, Procs, req)
}

// EachProc is Procs for more records than one wants to hold: f gets one after the other, and what it returns ends it.
func (c *Client) EachProc(ctx context.Context, req Request, f func(job.Process) error) error {
	return each(ctx, c, Procs, req, f)
}

// Report adds up what was used. Of req count By, IncludeOpen and what counts for Procs, but for Sort.
func (c *Client) Report(ctx context.Context, req Request) (report.Report, error) {
	return ask[report.Report](ctx, c, Report, req)
}

// Moments gives the marks of time in the books, the earliest first. Of req count Since and Until.
func (c *Client) Moments(ctx context.Context, req Request) ([]job.Moment, error) {
	return all[job.Moment](ctx, c, Moments, req)
}

// DBStats says what the books take.
func (c *Client) DBStats(ctx context.Context) (DBStats, error) {
	return ask[DBStats](ctx, c, DB, Request{Op: OpStats})
}

// Backup writes a copy of the books as they are now, a database, to w. After an error what was written is not whole.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.copyTo(ctx, w, Request{Verb: DB, Op: OpBackup})
}

// Forget takes a person out of the books and leaves the sums. Of req count User and UID.
func (c *Client) Forget(ctx context.Context, req Request) (ForgetAnswer, error) {
	req.Op = OpForget
	return ask[ForgetAnswer](ctx, c, DB, req)
}
