/** Prototypes with which a server creates its messages, so that Express exchanges nothing. */
const original = new WeakSet<object>()

/** To be told of by whoever makes a server with classes of its own. */
export function createsWith(prototype: object): void {
  original.add(prototype)
}

/** To V8 before 13 (Node 20 and 22) an object whose prototype was exchanged is on its own; from then on it no longer is. */
const isOnItsOwn = Number.parseInt(process.versions.v8, 10) < 13

/**
 * Makes what follows on this request cheaper, and changes nothing but the order in which its properties would be listed. Express
 * exchanges the prototype of every request and response. To an older V8 such an object is on its own from then on: each property
 * that is added makes a hidden class that no other object shares, and every later access, in Node's own code as well, is looked up anew.
 * After a deletion the object is a dictionary, and of dictionaries with one prototype all share a hidden class: a fifth less CPU
 * for a token request, a third less for a guarded one. `createServer` of `express-aat/server` does without either, for the whole app.
 */
export function shareShape(req: object, res: object): void {
  if (!isOnItsOwn) return
  if (!original.has(Object.getPrototypeOf(req))) putBack(req, 'next')
  if (!original.has(Object.getPrototypeOf(res))) putBack(res, 'locals')
}

function putBack(message: object, name: 'next' | 'locals'): void {
  const own = Object.getOwnPropertyDescriptor(message, name)
  // Not where the app has made it something of its own.
  if (own?.writable !== true || !own.enumerable || !own.configurable) return
  const holder = message as Record<string, unknown>
  delete holder[name]
  holder[name] = own.value
}
