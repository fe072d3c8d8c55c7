/** @typedef {{ id: number, user: string, product: string, quantity: number, placedAt: string }} Order */
/** @typedef {ReturnType<typeof createOrders>} Orders */

export const products = [
  { id: 'teapot', name: 'Teapot, short and stout', price: 24.5 },
  { id: 'pocket-watch', name: 'Pocket watch, always late', price: 89 },
  { id: 'chess-set', name: 'Chess set, red and white', price: 42 },
  { id: 'hard-hat', name: 'Hard hat, yellow', price: 18 },
]

/** A wrong order, in words for the one who placed it. */
export class WrongOrder extends Error {}

/** The orders of this shop, in memory. */
export function createOrders() {
  /** @type {Order[]} */
  const orders = []

  /**
   * @param {string} user
   * @param {unknown} wanted what came from outside: nothing about it is known yet
   * @returns {Order}
   */
  function place(user, wanted) {
    if (typeof wanted !== 'object' || wanted === null) throw new WrongOrder('an order is an object')
    const { product, quantity = 1 } = /** @type {Record<string, unknown>} */ (wanted)
    const known = products.map(({ id }) => id)
    if (typeof product !== 'string' || !known.includes(product))
      throw new WrongOrder(`product must be one of ${known.join(', ')}`)
    if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > 10)
      throw new WrongOrder('quantity must be a whole number from 1 to 10')
    const order = { id: orders.length + 1, user, product, quantity, placedAt: new Date().toISOString() }
    orders.push(order)
    return order
  }

  place('alice', { product: 'pocket-watch' })
  place('alice', { product: 'teapot', quantity: 2 })
  place('bob', { product: 'hard-hat' })

  return {
    place,
    /** @param {string} user */
    of: (user) => orders.filter((order) => order.user === user),
    all: () => [...orders],
  }
}
