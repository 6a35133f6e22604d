package watch

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestIndexIsAMap compares an index with a map, over pids that collide and pids used again.
func TestIndexIsAMap(t *testing.T) {
	id := rapid.Custom(func(t *rapid.T) ID {
		return ID{PID: rapid.SampledFrom([]int32{1, 2, 3, 65, 129, 300, 4194303, -1}).Draw(t, "pid") + rapid.Int32Range(0, 70).Draw(t, "more"),
			Gen: rapid.Uint32Range(0, 2).Draw(t, "gen")}
	})
	rapid.Check(t, func(t *rapid.T) {
		var x Index[int]
		model := make(map[ID]int)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				i, v := id.Draw(t, "id"), rapid.Int().Draw(t, "v")
				x.Set(i, v)
				if i != (ID{}) {
					model[i] = v
				}
			},
			"set many": func(t *rapid.T) {
				i := id.Draw(t, "from")
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					x.Set(i, 7)
					if i != (ID{}) {
						model[i] = 7
					}
					i.PID++
				}
			},
			"delete": func(t *rapid.T) {
				i := id.Draw(t, "id")
				x.Delete(i)
				delete(model, i)
			},
			"delete while walking": func(t *rapid.T) {
				keep := rapid.IntRange(1, 5).Draw(t, "one in")
				n := 0
				for _, i := range x.IDs() {
					if n++; n%keep != 0 {
						x.Delete(i)
						delete(model, i)
					}
				}
			},
			"": func(t *rapid.T) {
				if x.Len() != len(model) {
					t.Fatalf("%d in the index, %d in the map", x.Len(), len(model))
				}
				for i, v := range model {
					if x.Get(i) != v {
						t.Fatalf("%v is %d, want %d", i, x.Get(i), v)
					}
				}
				if got := maps.Collect(x.All()); !maps.Equal(got, model) {
					t.Fatalf("it yields %v, want %v", got, model)
				}
				if i := id.Draw(t, "another"); model[i] != x.Get(i) {
					t.Fatalf("%v is %d, want %d", i, x.Get(i), model[i])
				}
			},
		})
	})
}

// TestIndexShrinks: what a storm took is given back.
func TestIndexShrinks(t *testing.T) {
	var x Index[int]
	for pid := range int32(50_000) {
		x.Set(ID{PID: pid + 1}, 1)
	}
	for pid := range int32(50_000) {
		x.Delete(ID{PID: pid + 1})
	}
	if len(x.slots) > indexLeast {
		t.Errorf("an empty index has %d slots", len(x.slots))
	}
}

func BenchmarkIndex(b *testing.B) {
	var x Index[*int]
	v := new(int)
	for pid := range int32(300) {
		x.Set(ID{PID: 10*pid + 1}, v)
	}
	pid := int32(5000)
	for b.Loop() {
		id := ID{PID: pid}
		x.Set(id, v)
		if x.Get(id) == nil || x.Get(ID{PID: 1}) == nil {
			b.Fatal("lost")
		}
		x.Delete(id)
		pid++
	}
}

func BenchmarkIndexAsAMap(b *testing.B) {
	x, v := make(map[ID]*int), new(int)
	for pid := range int32(300) {
		x[ID{PID: 10*pid + 1}] = v
	}
	pid := int32(5000)
	for b.Loop() {
		id := ID{PID: pid}
		x[id] = v
		if x[id] == nil || x[ID{PID: 1}] == nil {
			b.Fatal("lost")
		}
		delete(x, id)
		pid++
	}
}
