import{l as a,m as d,n as l,p as $}from"./chunk-PZ6YG4SN.js";import"./chunk-S4RIBZVE.js";var u=new TextEncoder,A=(...e)=>Uint8Array.from(e.flatMap(n=>[...n])),B=65536,I=63;function b(e,n){let t;try{t=atob(e)}catch{return}return btoa(t)===e&&t.length===(n??t.length)?Uint8Array.from(t,s=>s.charCodeAt(0)):void 0}var z=e=>/^(0|[1-9][0-9]{0,18})$/.test(e)&&BigInt(e)<1n<<63n;function O(e){let[,n,t,s]=/^([^+\s]+)\+([0-9a-f]{8})\+(.+)$/.exec(e)??[],r=b(s??"",33);a(r&&r[0]===1,"log.key","a log's key is name+hash+key, as the server says it at /log/");let o=l(u.encode(n+`
`),r).subarray(0,4);return a(Array.from(o,i=>i.toString(16).padStart(2,"0")).join("")===t,"log.key","the hash in the log's key is another key's; copy it again"),{name:n,id:o,key:r.subarray(1)}}function w(e,n){let t=e.indexOf(n);return t<0?[e]:[e.slice(0,t),e.slice(t+n.length)]}function q(e){let n=`c2sp.org/tlog-proof@v1
`;a(e.startsWith(n)&&u.encode(e).length<=B,"log.form","not a proof of logging");let[t,s]=w(e.slice(n.length),`

`);a(s,"log.form","a proof without a checkpoint");let r=t.split(`
`),o=r[0].startsWith("extra ")?b(r.shift().slice(6)):[],[,i]=w(r.shift()??"","index "),c=r.map(k=>b(k,32));return a(o&&t.startsWith(o.length?"extra ":"index ")&&z(i??"")&&c.length<=I&&!c.includes(void 0),"log.form","a proof whose lines are not extra, index and hashes"),{extra:o,index:BigInt(i),hashes:c,checkpoint:s}}async function W(e,n){let[t,s,r]=w(e,`

`)[0].split(`
`),o=b(r??"",32);a(e.includes(`

`)&&e.endsWith(`
`)&&t&&z(s??"")&&o,"log.form","not a checkpoint"),a(t===n.name,"log.origin",`a checkpoint of the log ${JSON.stringify(t.slice(0,100))}, which is not one that counts`);let i=e.lastIndexOf(`

`)+1,c=`\u2014 ${n.name} `,p=e.slice(i+1).split(`
`).filter(f=>f.startsWith(c)).map(f=>b(f.slice(c.length),68)).find(f=>f&&d(f.subarray(0,4),n.id));return a(p&&await $(n.key,u.encode(e.slice(0,i)),p.subarray(4)),"log.key","the checkpoint is not signed by the log's key"),{size:BigInt(s),root:o}}function N(e,n,t){let s=new Uint8Array(8);new DataView(s.buffer).setBigUint64(0,BigInt(t));let r=l(u.encode(`writ/log/salt/1
`),n),o=l(u.encode(`writ/log/pad/1
`),r,s);return A(l(u.encode(`writ/log/tag/1
`),r),s,o.map((i,c)=>i^e[c]))}function U({index:e,hashes:n},t,{size:s,root:r}){if(e>=s)return!1;let o=l([0],t),i=s-1n;for(let c of n){if(i===0n)return!1;if(e&1n||e===i)for(o=l([1],c,o);!(e&1n)&&e>0n;e>>=1n)i>>=1n;else o=l([1],o,c);e>>=1n,i>>=1n}return i===0n&&d(o,r)}async function j(e,n,t,{head:{run:{bytes:s},seq:r},steps:o},i,c){let k=O(e),p=i.bytes.slice(-32),f=async(y,h,g)=>{let m=await W(y.checkpoint,k);return a(U(y,N(h,s,g),m),"log.proof",`the proof does not lead from this head to the checkpoint of size ${m.size}`),{index:Number(y.index),size:Number(m.size)}},x=n&&await f(q(new TextDecoder().decode(n)),p,r);for(let y of t){let h;try{let g=q(y);h=await c(g.extra),a(d(h.run.bytes,s),"log.receipt","it is for another run");let m=await f(g,l(g.extra),h.seq);d(l(g.extra),p)&&(x??=m)}catch(g){a(!1,"log.receipt",`a receipt does not hold: ${g.message}`)}a(h.seq<o.length,"log.cut",`a receipt is for step ${h.seq}, and the history ends before it`),a(d(o[h.seq].bytes,h.step.bytes),"log.branch",`a receipt is for another step ${h.seq} of this run`)}return x}export{j as checkLog,O as readKey,q as readProof};
