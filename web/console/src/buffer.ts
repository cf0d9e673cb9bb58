// The reader is written for Node, and uses its Buffer.
import { Buffer } from 'buffer'

Object.assign(globalThis, { Buffer })
