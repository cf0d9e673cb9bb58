import{a,b,c,d}from"./chunk-H4NBLHG7.js";import"./chunk-I5QNRVU3.js";import"./chunk-NSH7HHIN.js";export{b as Outcome,a as Spine,d as Talk,c as TurnView};
