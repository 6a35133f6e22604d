package control

import "net/http"

// stream writes an answer of bytes. What goes wrong before the first of them is answered as ever; after it the connection
// is cut off: its reader must not take what there is for all.
func (s *Server) stream(w http.ResponseWriter, rt route, p Peer, write Stream) {
	out := &patient{w: w, renew: func() { s.deadline(w) }}
	err := write(out)
	if err == nil || out.gone != nil { // nobody is there to be told
		out.begin()
		s.cfg.Observe(rt.verb, "")
		return
	}
	e := asError(err)
	s.cfg.Observe(rt.verb, e.Code)
	if !out.begun {
		writeError(w, e)
		return
	}
	s.log.warn(p, "answer cut off", "verb", string(rt.verb), "op", rt.op, "error", err)
	panic(http.ErrAbortHandler)
}

// patient gives the client its time anew with each piece: how long all of it takes is not known.
type patient struct {
	w     http.ResponseWriter
	renew func()
	begun bool
	gone  error // the client has
}

func (p *patient) begin() {
	if !p.begun {
		p.begun = true
		p.w.Header().Set("Content-Type", "application/octet-stream")
		p.w.WriteHeader(http.StatusOK)
	}
}

// Write writes a piece.
func (p *patient) Write(b []byte) (int, error) {
	p.begin()
	p.renew()
	n, err := p.w.Write(b)
	p.gone = err
	return n, err
}
