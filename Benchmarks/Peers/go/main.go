// Peer: Go's own runtime. Usage: gopeer WORKLOAD [-procs N] [-n SIZE] [-port P] [-conns C] [-secs S]
// Prints: name procs size ns_per_op ops_per_s peak_rss_kb [key=value ...]
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var procs, n, port, conns, secs int

func statusKB(key string) int {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, key+":") {
			v := 0
			fmt.Sscanf(l[len(key)+1:], "%d", &v)
			return v
		}
	}
	return 0
}

func report(name string, size int, d time.Duration, ops int, extra string) {
	ns := float64(d.Nanoseconds()) / float64(ops)
	fmt.Printf("%s %d %d %.2f %.0f %d %s\n", name, procs, size, ns, 1e9/ns, statusKB("VmHWM"), extra)
}

func pct(v []int64, p float64) float64 { // sorted ns -> us
	if len(v) == 0 {
		return -1
	}
	i := int(p * float64(len(v)-1))
	return float64(v[i]) / 1e3
}

func def(d int) {
	if n == 0 {
		n = d
	}
}

func yield() {
	def(1000000)
	var wg sync.WaitGroup
	t := time.Now()
	for range 2 {
		wg.Add(1)
		go func() {
			for range n {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	report("yield", n, time.Since(t), 2*n, "")
}

func spawnJoin() {
	def(1000000)
	var wg sync.WaitGroup
	var c atomic.Int64
	t := time.Now()
	wg.Add(n)
	for range n {
		go func() { c.Add(1); wg.Done() }()
	}
	wg.Wait()
	d := time.Since(t)
	if c.Load() != int64(n) {
		panic("count")
	}
	report("spawn_join", n, d, n, "")
}

func pingpong() {
	def(1000000)
	a, b := make(chan int), make(chan int)
	go func() {
		for v := range a {
			b <- v + 1
		}
		close(b)
	}()
	t := time.Now()
	v := 0
	for range n {
		a <- v
		v = <-b
	}
	d := time.Since(t)
	close(a)
	if v != n {
		panic("v")
	}
	report("pingpong", n, d, n, "")
}

func buffered(name string, p, c int) {
	def(4000000)
	ch := make(chan int, 128)
	var pw, cw sync.WaitGroup
	var sum atomic.Int64
	t := time.Now()
	for range p {
		pw.Add(1)
		go func() {
			for i := range n / p {
				ch <- i
			}
			pw.Done()
		}()
	}
	for range c {
		cw.Add(1)
		go func() {
			k := 0
			for range ch {
				k++
			}
			sum.Add(int64(k))
			cw.Done()
		}()
	}
	pw.Wait()
	close(ch)
	cw.Wait()
	d := time.Since(t)
	if int(sum.Load()) != n/p*p {
		panic("sum")
	}
	report(name, n, d, n, "")
}

func selectN(k int) {
	def(1000000)
	chs := make([]chan int, 8)
	per := n / k
	t := time.Now()
	for i := range k {
		chs[i] = make(chan int)
		go func() {
			for j := range per {
				chs[i] <- j
			}
		}()
	}
	total := per * k
	sum := 0
	if k == 2 {
		a, b := chs[0], chs[1]
		for range total {
			select {
			case v := <-a:
				sum += v
			case v := <-b:
				sum += v
			}
		}
	} else {
		a, b, c, d, e, f, g, h := chs[0], chs[1], chs[2], chs[3], chs[4], chs[5], chs[6], chs[7]
		for range total {
			select {
			case v := <-a:
				sum += v
			case v := <-b:
				sum += v
			case v := <-c:
				sum += v
			case v := <-d:
				sum += v
			case v := <-e:
				sum += v
			case v := <-f:
				sum += v
			case v := <-g:
				sum += v
			case v := <-h:
				sum += v
			}
		}
	}
	d := time.Since(t)
	if sum != k*(per*(per-1)/2) {
		panic("sum")
	}
	report(fmt.Sprintf("select%d", k), n, d, total, "")
}

func sky(c chan int, num, size int) {
	if size == 1 {
		c <- num
		return
	}
	rc := make(chan int)
	sum := 0
	for i := range 10 {
		go sky(rc, num+i*(size/10), size/10)
	}
	for range 10 {
		sum += <-rc
	}
	c <- sum
}

func skynet() {
	def(1000000)
	c := make(chan int)
	t := time.Now()
	go sky(c, 0, n)
	s := <-c
	d := time.Since(t)
	if s != n*(n-1)/2 {
		panic("skynet")
	}
	report("skynet", n, d, n, fmt.Sprintf("total_ms=%.1f", d.Seconds()*1e3))
}

func ring() {
	def(10000)
	const laps = 100
	first := make(chan int)
	in := first
	for range n - 1 {
		out := make(chan int)
		go func(in, out chan int) {
			for v := range in {
				out <- v + 1
			}
			close(out)
		}(in, out)
		in = out
	}
	t := time.Now()
	v := 0
	for range laps {
		first <- v
		v = <-in + 1
	}
	d := time.Since(t)
	close(first)
	<-in
	if v != n*laps {
		panic("ring")
	}
	report("ring", n, d, n*laps, "")
}

func mutex() {
	def(1000000)
	var mu sync.Mutex
	var wg sync.WaitGroup
	c := 0
	t := time.Now()
	for range 8 {
		wg.Add(1)
		go func() {
			for range n {
				mu.Lock()
				c++
				mu.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	d := time.Since(t)
	if c != 8*n {
		panic("mutex")
	}
	report("mutex", n, d, 8*n, "")
}

func rwmutex() {
	def(1000000)
	var mu sync.RWMutex
	var wg sync.WaitGroup
	c := 0
	var reads atomic.Int64
	t := time.Now()
	for range 8 {
		wg.Add(1)
		go func() {
			r := 0
			for i := range n {
				if i%10 == 9 {
					mu.Lock()
					c++
					mu.Unlock()
				} else {
					mu.RLock()
					if c >= 0 {
						r++
					}
					mu.RUnlock()
				}
			}
			reads.Add(int64(r))
			wg.Done()
		}()
	}
	wg.Wait()
	d := time.Since(t)
	if c != 8*(n/10) {
		panic("rwmutex")
	}
	report("rwmutex", n, d, 8*n, "")
}

func timers() {
	def(100000)
	late := make([]int64, n)
	var wg sync.WaitGroup
	x := uint64(88172645463325252)
	t := time.Now()
	wg.Add(n)
	for i := range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		d := time.Duration(1000+x%99001) * time.Microsecond
		go func() {
			s := time.Now()
			time.Sleep(d)
			late[i] = int64(time.Since(s) - d)
			wg.Done()
		}()
	}
	wg.Wait()
	d := time.Since(t)
	slices.Sort(late)
	report("timers", n, d, n, fmt.Sprintf("total_ms=%.1f late_p50_us=%.0f late_p99_us=%.0f", d.Seconds()*1e3, pct(late, .5), pct(late, .99)))
}

func parked() { park("parked", func() {}) }

// parkedLong is parked after collections, which shrink stacks, and with all free memory given back.
func parkedLong() {
	park("parked_long", func() {
		for range 3 {
			debug.FreeOSMemory()
		}
	})
}

func park(name string, waiting func()) {
	def(100000)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	var up atomic.Int64
	before := statusKB("VmRSS")
	t := time.Now()
	wg.Add(n)
	for range n {
		go func() {
			up.Add(1)
			<-gate
			wg.Done()
		}()
	}
	for up.Load() != int64(n) {
		time.Sleep(time.Millisecond)
	}
	spawn := time.Since(t)
	time.Sleep(50 * time.Millisecond)
	waiting()
	after := statusKB("VmRSS")
	t = time.Now()
	close(gate)
	wg.Wait()
	d := time.Since(t)
	report(name, n, d, n, fmt.Sprintf("bytes_per_task=%.0f spawn_ns=%.0f wake_ms=%.1f", float64(after-before)*1024/float64(n), float64(spawn.Nanoseconds())/float64(n), d.Seconds()*1e3))
}

func sieve() {
	def(2000)
	t := time.Now()
	ch := make(chan int)
	go func(out chan int) {
		for i := 2; ; i++ {
			out <- i
		}
	}(ch)
	p := 0
	for range n {
		p = <-ch
		out := make(chan int)
		go func(in, out chan int, p int) {
			for {
				if v := <-in; v%p != 0 {
					out <- v
				}
			}
		}(ch, out, p)
		ch = out
	}
	d := time.Since(t)
	report("sieve", n, d, n, fmt.Sprintf("total_ms=%.1f prime=%d", d.Seconds()*1e3, p))
}

// chunk is the CPU unit of hog and blocking: 20,000 xorshift steps (no compiler folds them).
func chunk(x uint64) uint64 {
	for range 20000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

var sink atomic.Uint64

func blocking() {
	def(200)
	var done atomic.Bool
	var chunks atomic.Int64
	var bw, cw sync.WaitGroup
	t := time.Now()
	for range 2 {
		cw.Add(1)
		go func() {
			x, k := uint64(1), 0
			for !done.Load() {
				x = chunk(x)
				k++
			}
			sink.Add(x)
			chunks.Add(int64(k))
			cw.Done()
		}()
	}
	for range 64 {
		bw.Add(1)
		go func() {
			ts := syscall.Timespec{Nsec: 1000000}
			for range n {
				syscall.Nanosleep(&ts, nil)
			}
			bw.Done()
		}()
	}
	bw.Wait()
	d := time.Since(t)
	done.Store(true)
	cw.Wait()
	report("blocking", n, d, 64*n, fmt.Sprintf("total_ms=%.1f chunks_per_s=%.0f threads=%d", d.Seconds()*1e3, float64(chunks.Load())/d.Seconds(), statusKB("Threads")))
}

// startHogs starts n goroutines that compute until T after start, and add what they got done to chunks.
func startHogs(wg *sync.WaitGroup, chunks *atomic.Int64, start time.Time, T time.Duration) {
	for range n {
		wg.Add(1)
		go func() {
			x, k := uint64(1), 0
			for time.Since(start) < T {
				x = chunk(x)
				k++
			}
			sink.Add(x)
			chunks.Add(int64(k))
			wg.Done()
		}()
	}
}

func hog() {
	def(4)
	T := time.Duration(secs) * time.Second
	var wg sync.WaitGroup
	start := time.Now()
	var chunks atomic.Int64
	startHogs(&wg, &chunks, start, T)
	var late []int64
	wg.Add(1)
	go func() {
		for time.Since(start) < T {
			s := time.Now()
			time.Sleep(time.Millisecond)
			late = append(late, int64(time.Since(s)-time.Millisecond))
		}
		wg.Done()
	}()
	wg.Wait()
	d := time.Since(start)
	k := len(late)
	slices.Sort(late)
	report("hog", n, d, max(k, 1), fmt.Sprintf("ticks=%d late_p50_us=%.0f late_p99_us=%.0f late_max_us=%.0f chunks_per_s=%.0f", k, pct(late, .5), pct(late, .99), pct(late, 1), float64(chunks.Load())/d.Seconds()))
}

func ioHog() {
	def(2)
	T := time.Duration(secs) * time.Second
	var wg sync.WaitGroup
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
		c.Close()
	}()
	start := time.Now()
	var chunks atomic.Int64
	startHogs(&wg, &chunks, start, T)
	var trips []int64
	wg.Add(1)
	go func() {
		defer wg.Done()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			panic(err)
		}
		buf := make([]byte, 1)
		for time.Since(start) < T {
			s := time.Now()
			if _, err := c.Write(buf); err != nil {
				panic(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				panic(err)
			}
			trips = append(trips, int64(time.Since(s)))
			time.Sleep(time.Millisecond)
		}
		c.Close()
	}()
	wg.Wait()
	d := time.Since(start)
	k := len(trips)
	slices.Sort(trips)
	report("io_hog", n, d, k, fmt.Sprintf("trips=%d p50_us=%.0f p99_us=%.0f max_us=%.0f chunks_per_s=%.0f", k, pct(trips, .5), pct(trips, .99), pct(trips, 1), float64(chunks.Load())/d.Seconds()))
}

func echoServer() {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for {
				k, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err = c.Write(buf[:k]); err != nil {
					return
				}
			}
		}()
	}
}

func echoClient() {
	def(1000)
	lat := make([][]int64, conns)
	cs := make([]net.Conn, conns)
	for i := range cs {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			panic(err)
		}
		cs[i] = c
	}
	var wg sync.WaitGroup
	t := time.Now()
	for i, c := range cs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			l := make([]int64, n)
			buf := make([]byte, 64)
			for j := range n {
				s := time.Now()
				if _, err := c.Write(buf); err != nil {
					panic(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					panic(err)
				}
				l[j] = int64(time.Since(s))
			}
			lat[i] = l
			c.Close()
		}()
	}
	wg.Wait()
	d := time.Since(t)
	all := slices.Concat(lat...)
	slices.Sort(all)
	report("tcp_echo", n, d, conns*n, fmt.Sprintf("p50_us=%.0f p99_us=%.0f", pct(all, .5), pct(all, .99)))
}

func httpServer() {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello, World!")
	})
	panic(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", port), h))
}

type node struct{ l, r *node }

func build(d int) *node {
	if d == 0 {
		return &node{}
	}
	return &node{build(d - 1), build(d - 1)}
}

func (t *node) check() int {
	if t.l == nil {
		return 1
	}
	return 1 + t.l.check() + t.r.check()
}

func trees() {
	def(16)
	const minD = 4
	var wg sync.WaitGroup
	t := time.Now()
	ops := 0
	build(n + 1).check()
	ops += 1<<(n+2) - 1
	long := build(n)
	ops += 1<<(n+1) - 1
	var nodes atomic.Int64
	for d := minD; d <= n; d += 2 {
		iters := 1 << (n - d + minD)
		wg.Add(1)
		go func() {
			c := 0
			for range iters {
				c += build(d).check()
			}
			nodes.Add(int64(c))
			wg.Done()
		}()
	}
	wg.Wait()
	lc := long.check()
	d := time.Since(t)
	if lc != 1<<(n+1)-1 {
		panic("trees")
	}
	report("binary_trees", n, d, ops+int(nodes.Load()), fmt.Sprintf("total_ms=%.1f", d.Seconds()*1e3))
}

type gnode struct {
	edges [4]*gnode
	value int
}

func walk(nodes []*gnode, steps int, seed uint64) int {
	count := uint64(len(nodes))
	random := seed * 0x9e3779b97f4a7c15
	current := nodes[0]
	sum := 0
	for step := range steps {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		other := int((random >> 32) % count)
		sum += current.value
		current.edges[random>>2&3] = nodes[other]
		if step&63 == 0 {
			nodes[other] = &gnode{value: other}
		}
		if next := current.edges[random&3]; next != nil {
			current = next
		} else {
			current = nodes[other]
		}
	}
	return sum
}

func graph() {
	def(30_000_000)
	const count = 100_000
	var wg sync.WaitGroup
	var sum atomic.Int64
	t := time.Now()
	nodes := make([]*gnode, count)
	for i := range nodes {
		nodes[i] = &gnode{value: i}
	}
	for w := range procs {
		wg.Add(1)
		go func() {
			sum.Add(int64(walk(nodes, n/procs, uint64(w+1))))
			wg.Done()
		}()
	}
	wg.Wait()
	d := time.Since(t)
	report("graph", n, d, n, fmt.Sprintf("total_ms=%.1f sum=%d", d.Seconds()*1e3, sum.Load()))
}

func main() {
	if len(os.Args) < 2 {
		fmt.Println("usage: gopeer WORKLOAD [-procs N] [-n SIZE]")
		os.Exit(2)
	}
	fs := flag.NewFlagSet("peer", flag.ExitOnError)
	fs.IntVar(&procs, "procs", 1, "")
	fs.IntVar(&n, "n", 0, "")
	fs.IntVar(&port, "port", 18080, "")
	fs.IntVar(&conns, "conns", 100, "")
	fs.IntVar(&secs, "secs", 2, "")
	fs.Parse(os.Args[2:])
	runtime.GOMAXPROCS(procs)
	w := map[string]func(){
		"yield": yield, "spawn_join": spawnJoin, "pingpong": pingpong,
		"chan_buffered": func() { buffered("chan_buffered", 1, 1) },
		"chan_mpmc":     func() { buffered("chan_mpmc", 4, 4) },
		"select2":       func() { selectN(2) }, "select8": func() { selectN(8) },
		"skynet": skynet, "ring": ring, "mutex": mutex, "rwmutex": rwmutex,
		"timers": timers, "parked": parked, "parked_long": parkedLong, "sieve": sieve, "blocking": blocking, "hog": hog, "io_hog": ioHog,
		"echo_server": echoServer, "tcp_echo": echoClient, "http_server": httpServer,
		"binary_trees": trees, "graph": graph,
	}[os.Args[1]]
	if w == nil {
		fmt.Fprintln(os.Stderr, "unsupported", os.Args[1])
		os.Exit(3)
	}
	w()
}
