// The prime sieve of concurrent programming's folklore: a chain of goroutines, each of which holds one prime and hands
// on only the numbers that its prime does not divide.
//
//     sieve [COUNT]        prints the first COUNT primes, 10 if not said

import Apus

/// A channel on which 2, 3, 4 … arrive, for as long as somebody receives.
func naturals() -> Channel<Int> {
  let numbers = Channel<Int>()
  go {
    for number in 2... { numbers.send(number) }
  }
  return numbers
}

/// A channel on which those of `numbers` arrive that `prime` does not divide.
func multiplesRemoved(of prime: Int, from numbers: Channel<Int>) -> Channel<Int> {
  let remaining = Channel<Int>()
  go {
    while let number = numbers.receive() {
      if !number.isMultiple(of: prime) { remaining.send(number) }
    }
  }
  return remaining
}

let count = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 10
var numbers = naturals()
for _ in 0..<max(count, 0) {
  // The first number that comes through all the filters so far is the next prime.
  guard let prime = numbers.receive() else { break }
  print(prime)
  numbers = multiplesRemoved(of: prime, from: numbers)
}
// The goroutines of the chain are waiting for one another still. That is no leak: when main ends, the process ends.
