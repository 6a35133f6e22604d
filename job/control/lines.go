package control

import "net/http"

// lines writes an answer that goes on. That its head has come tells the client that nothing is missed from now on. What is cut off has no
// last chunk: its reader goes on elsewhere.
func (s *Server) lines(w http.ResponseWriter, r *http.Request, lines Lines) {
	r.Context().Value(guestKey{}).(*guest).streams.Store(true)
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	err := flush()
	write := func(b []byte) error {
		s.deadline(w)
		_, werr := w.Write(b)
		if werr == nil {
			werr = flush()
		}
		return werr
	}
	if err != nil { // it has gone already
		write = func([]byte) error { return err }
	}
	if lines(r.Context(), write) != nil {
		panic(http.ErrAbortHandler)
	}
}
