import{a,b,c,d}from"./chunk-IGQAXSBA.js";import"./chunk-RO6RCKZA.js";import"./chunk-NSH7HHIN.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
