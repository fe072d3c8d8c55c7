// `express4` is an npm alias of express 4; the types of express 5 are close enough for the tests.
declare module 'express4' {
  import express = require('express')
  export = express
}
