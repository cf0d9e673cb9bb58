import{a,b,c,d}from"./chunk-64KLJTSN.js";import"./chunk-ZBZRF4M2.js";import"./chunk-NSH7HHIN.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
