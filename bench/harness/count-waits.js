/**
 * Counts how often a server waits for Redis: how often the number of its commands in flight leaves 0. Commands that are
 * sent together, in a MULTI or side by side, are one wait. Right only while the server handles one request at a time.
 * @param {import('ioredis').Redis} prototype of every connection, as a store may open its own
 * @returns {() => number} ends it, and tells
 */
export function countWaits(prototype) {
  const original = prototype.sendCommand
  let inFlight = 0
  let waits = 0
  const done = () => {
    inFlight--
  }
  prototype.sendCommand = function (command, stream) {
    if (inFlight++ === 0) waits++
    // Before whoever sent it hears of it, and perhaps sends the next.
    command.promise.then(done, done)
    return original.call(this, command, stream)
  }
  return () => {
    prototype.sendCommand = original
    return waits
  }
}
