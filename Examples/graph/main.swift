// A railway network that changes all the time: stations and the tracks between them, in both directions, so that every
// track is part of a cycle. Whoever is cut off is gone, without anybody's taking it apart: reference counting would keep
// it for ever.
import Apus
import ApusHeap

/// A station knows the first of its tracks; a track knows where it leads, its other direction, and the station's next.
struct Station {
  var tracks = Link<Track>()
  var number: Int
  var visited = 0
}

struct Track {
  var to = Link<Station>()
  var back = Link<Track>()
  var next = Link<Track>()
}

/// Joins two stations by a track in each direction.
func join(_ a: Ref<Station>, _ b: Ref<Station>) {
  let (there, back) = (a.heap.new(Track()), a.heap.new(Track()))
  there.to = b
  back.to = a
  there.back = back
  back.back = there
  there.next = a.tracks
  a.tracks = there
  back.next = b.tracks
  b.tracks = back
}

/// Closes every track of the station: the neighbours forget it.
///
/// It would be garbage with its tracks, too. But a closed track that led into the network could lead to stations that are
/// closed later; should the collector find a stale reference to it somewhere on a stack, all of those would stay.
func close(_ station: Ref<Station>) {
  var track = station.tracks
  station.tracks = nil
  while let current = track {
    if let neighbour = current.to, let back = current.back { forget(back, of: neighbour) }
    current.to = nil
    track = current.next
  }
}

/// Takes a track out of the station's list.
func forget(_ lost: Ref<Track>, of station: Ref<Station>) {
  if station.tracks === lost {
    station.tracks = lost.next
  } else {
    var track = station.tracks
    while let current = track {
      if current.next === lost { current.next = lost.next }
      track = current.next
    }
  }
  lost.next = nil
}

/// How many stations can be reached; `mark` tells this visit from others.
func reachable(from start: Ref<Station>, mark: Int) -> Int {
  let queue = start.heap.newArray(repeating: Link<Station>(), count: 4096)
  var (first, last) = (0, 1)
  queue[0] = start
  start.visited = mark
  while first < last {
    var track = queue[first]!.tracks
    while let current = track {
      if let station = current.to, station.visited != mark {
        station.visited = mark
        queue[last] = station
        last += 1
      }
      track = current.next
    }
    first += 1
  }
  return last
}

/// Numbers that follow from a seed.
struct Dice {
  var state: UInt64
  mutating func roll(_ count: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % count
  }
}

/// A tree of stations to begin with.
func build(_ stations: Ref<HeapArray<Link<Station>>>) {
  for number in stations.indices {
    let station = stations.heap.new(Station(number: number))
    stations[number] = station
    if number > 0 { join(station, stations[number / 2]!) }
  }
}

/// Puts a new station in the place of the old one, which is garbage then: a cycle of itself and its tracks.
func rebuild(_ number: Int, of stations: Ref<HeapArray<Link<Station>>>, _ dice: inout Dice) {
  close(stations[number]!)
  let station = stations.heap.new(Station(number: number))
  stations[number] = station
  for _ in 0..<2 {
    let other = dice.roll(stations.count)
    if other != number { join(station, stations[other]!) }
  }
}

withHeap { heap in
  let stations = heap.newArray(repeating: Link<Station>(), count: 1000)
  build(stations)
  print("stations reachable:", reachable(from: stations[0]!, mark: 1))

  var dice = Dice(state: 7)
  for _ in 0..<200_000 { rebuild(dice.roll(stations.count), of: stations, &dice) }
  ManagedHeap.collect()
  let statistics = ManagedHeap.statistics
  var tracks = 0
  for number in stations.indices {
    var track = stations[number]!.tracks
    while let current = track {
      precondition(current.back!.to === stations[number], "a track without its other direction")
      tracks += 1
      track = current.next
    }
  }
  print("every track has its other direction:", tracks > stations.count)
  print("made more than 10 MB:", statistics.allocatedBytes > 10 << 20)
  print("kept less than 1 MB:", statistics.objectBytes < 1 << 20)
}
