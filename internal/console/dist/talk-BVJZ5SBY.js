import{a,b,c,d}from"./chunk-BUGDUG44.js";import"./chunk-2SWGGM4X.js";import"./chunk-HOQJQPDO.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
