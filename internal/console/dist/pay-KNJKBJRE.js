import{a,b,c,d,e}from"./chunk-Z34PUP2U.js";import"./chunk-5ZWODXDT.js";import"./chunk-OHGLUXXC.js";import"./chunk-S4RIBZVE.js";export{d as askOf,e as choose,b as pay,a as payments,c as settle};
